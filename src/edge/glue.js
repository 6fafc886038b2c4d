// What is done on this side of the border, as crossing it costs more than most of what is done on
// either: each function does with one call what bindings would do with ten. Headers cross as one
// string with a line for each, `name:value`; neither can have a line break in it.

const pairs = (lines) =>
  lines === ""
    ? []
    : lines.split("\n").map((line) => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon), line.slice(colon + 1)];
      });

// Keeps a rejection from being reported as unhandled.
export function ignore(promise) {
  promise.catch(() => {});
}

// Method, URL, and the wanted headers, a line each; what is missing is empty.
export function head(request, wanted) {
  const { method, url, headers } = request;
  return [method, url, ...wanted.split("\n").map((name) => headers.get(name) ?? "")].join("\n");
}

export function respond(status, headers, body) {
  return new Response(body === "" ? null : body, { status, headers: pairs(headers) });
}

// Sends a request and reads the answer, up to `max` bytes of it: `body` is undefined when there are
// more. Redirects are not followed: one could lead a token anywhere.
//
// With `last`, that ends the body, and is handed over only when the runtime has taken what is before
// it. Status 0 says that it did not come to that.
export async function exchange(url, method, headers, body, last, timeoutMs, signal, max) {
  const init = {
    method,
    headers: pairs(headers),
    body,
    redirect: "manual",
    signal: signal ?? AbortSignal.timeout(timeoutMs),
  };
  if (last === undefined) return answerOf(await fetch(url, init), max);

  const { readable, writable } = new FixedLengthStream(body.length + last.length);
  let sent = false;
  const write = async () => {
    const writer = writable.getWriter();
    await writer.write(body);
    await writer.write(last);
    sent = true;
    await writer.close();
  };
  try {
    const responding = fetch(url, { ...init, body: readable });
    ignore(write());
    const response = await responding;
    if (response.ok && !sent) {
      // A success for half a body: whatever it means, it is not that nothing happened.
      sent = true;
      throw new Error("answered before the end");
    }
    return await answerOf(response, max);
  } catch (error) {
    if (sent) throw error;
    return { status: 0 };
  }
}

async function answerOf(response, max) {
  const answer = {
    status: response.status,
    retryAfter: response.headers.get("retry-after") ?? undefined,
    body: undefined,
  };
  const length = response.headers.get("content-length");
  if (length !== null && Number(length) > max) {
    ignore(response.body.cancel());
  } else if (length !== null) {
    answer.body = new Uint8Array(await response.arrayBuffer());
  } else if (response.body === null) {
    answer.body = new Uint8Array();
  } else {
    // One read that has room for one byte more than is allowed tells whether there is one.
    const reader = response.body.getReader({ mode: "byob" });
    const { value } = await reader.readAtLeast(max + 1, new Uint8Array(max + 1));
    if (value === undefined) answer.body = new Uint8Array();
    else if (value.length <= max) answer.body = value;
    else ignore(reader.cancel());
  }
  return answer;
}
