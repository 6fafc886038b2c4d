// Durable Objects from this side of the border: what crosses it is strings and numbers.

// Asks the object of that name, and gives its answer.
export async function ask(namespace, name, question, timeoutMs) {
  const object = namespace.get(namespace.idFromName(name));
  const response = await object.fetch("http://object/", {
    method: "POST",
    body: question,
    signal: AbortSignal.timeout(timeoutMs),
  });
  const answer = await response.text();
  if (!response.ok) throw new Error(`the object answered ${response.status}`);
  return answer;
}

// Runs one statement. Parameters and rows are JSON.
export function sql(state, statement, parameters) {
  return JSON.stringify([...state.storage.sql.exec(statement, ...JSON.parse(parameters)).raw()]);
}

export async function setAlarm(state, at) {
  await state.storage.setAlarm(at);
}

// Both are begun in the turn of the caller: nothing that is written after its decision gets lost.
export async function clear(state) {
  await Promise.all([state.storage.deleteAlarm(), state.storage.deleteAll()]);
}
