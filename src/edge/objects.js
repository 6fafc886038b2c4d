// Durable Objects from this side of the border: what crosses it is strings and numbers.

// Asks the object of that name. Its reply is the status, a space, and the body.
export async function ask(namespace, name, question, timeoutMs) {
  const object = namespace.get(namespace.idFromName(name));
  const response = await object.fetch("http://object/", {
    method: "POST",
    body: question,
    signal: AbortSignal.timeout(timeoutMs),
  });
  return `${response.status} ${await response.text()}`;
}

const ROLLED_BACK = Symbol("rolled back");

// The states that hold nothing of the first version any more.
const upToDate = new WeakSet();

// Runs `work` in a transaction, which is kept when it returns true. Returns whether it was kept.
export function transaction(state, work) {
  if (!upToDate.has(state)) {
    takeOver(state.storage);
    upToDate.add(state);
  }
  try {
    state.storage.transactionSync(() => {
      if (!work()) throw ROLLED_BACK;
    });
    return true;
  } catch (error) {
    if (error === ROLLED_BACK) return false;
    throw error;
  }
}

export function get(state, key) {
  return state.storage.kv.get(key);
}

export function put(state, key, value) {
  state.storage.kv.put(key, value);
}

export function remove(state, key) {
  state.storage.kv.delete(key);
}

// Pairs of key and value, as JSON.
export function list(state, prefix, after, limit) {
  const range = { prefix, limit };
  if (after !== undefined) range.startAfter = after;
  return JSON.stringify([...state.storage.kv.list(range)]);
}

// Within a transaction it is part of it: the promise tells nothing that the turn has to wait for.
export function setAlarm(state, at) {
  state.storage.setAlarm(at);
}

export function clearAlarm(state) {
  state.storage.deleteAlarm();
}

// It can't be part of a transaction. Begun in the same turn of the event loop as the transaction
// before it, it is written with that.
export async function clear(state) {
  await Promise.all([state.storage.deleteAlarm(), state.storage.deleteAll()]);
}

// Takes over what the first version kept in tables.
function takeOver(storage) {
  const tables = storage.sql.exec("SELECT name FROM sqlite_master WHERE name IN ('events', 'record')");
  for (const { name } of [...tables]) {
    storage.transactionSync(() => {
      if (name === "events") takeOverEvents(storage);
      else takeOverRecord(storage);
      // Whatever became of the old alarm: the object looks at once for what is due.
      storage.setAlarm(Date.now());
    });
  }
}

const digits = (number) => String(number).padStart(16, "0");

// The events of the outbox become entries of shard 0, in the form that objects/outbox/entries.rs describes.
function takeOverEvents({ kv, sql }) {
  const state = JSON.parse(kv.get("state") ?? '{"last_sequence":0,"pending":0,"parked":0}');
  for (const { sequence: _, ...event } of [...sql.exec("SELECT * FROM events ORDER BY sequence")]) {
    if (kv.get(`id/${event.id}`) !== undefined) continue;
    const sequence = Math.max(state.last_sequence + 16, event.queued_at * 256);
    state.last_sequence = sequence;
    kv.put(`id/${event.id}`, String(sequence));
    kv.put(`event/${digits(sequence)}`, JSON.stringify(event));
    if (event.due_at === null) {
      state.parked += 1;
    } else {
      state.pending += 1;
      kv.put(`due/${digits(event.due_at)}/${digits(sequence)}`, "");
    }
  }
  kv.put("state", JSON.stringify(state));
  sql.exec("DROP TABLE events");
}

// A record had an object of its own, which nobody asks any more. What matters of it is the message of
// an upload that died before it could deliver it: it becomes an entry as objects/user/mod.rs describes.
function takeOverRecord({ kv, sql }) {
  const [row] = sql.exec("SELECT json FROM record");
  sql.exec("DROP TABLE record");
  const record = row && JSON.parse(row.json);
  const undelivered = record?.phase.Done?.untold;
  if (!undelivered) return;
  record.phase.Done.undelivered = undelivered;
  kv.put("key/first-version", JSON.stringify(record));
  const overAt = Math.max(record.kept_until, undelivered.until);
  kv.put(`due/${digits(Math.min(undelivered.hand_over_at, overAt))}/key/first-version`, "");
}
