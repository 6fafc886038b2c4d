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

// Runs `work` in a transaction, which is kept when it returns true. Whether it was kept.
export function transaction(state, work) {
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
