// Calls between WebAssembly and JavaScript cost more than most of the work on either side. So each
// function here does in one call what bindings would do in ten. Headers cross as one string with a
// line for each, `name:value`; neither name nor value can contain a line break.

// workerd takes a record in half the time of a list of pairs. No name occurs twice.
function record(lines) {
  const headers = {};
  if (lines === "") return headers;
  for (const line of lines.split("\n")) {
    const colon = line.indexOf(":");
    headers[line.slice(0, colon)] = line.slice(colon + 1);
  }
  return headers;
}

// Keeps a rejection from being reported as unhandled.
export function ignore(promise) {
  promise.catch(() => {});
}

// Asks Cloudflare's rate limiter (developers.cloudflare.com, "Rate Limiting binding").
export async function limit(limiter, key) {
  return (await limiter.limit({ key })).success;
}

const CR = 13;
const pairHash = (first, second) => ((first << 4) ^ second) & 4095;

// Searches for a form's delimiter without looking at every byte. A delimiter of m bytes contains m - 1 pairs of
// neighbouring bytes, so wherever it lies, it covers one of any m - 1 consecutive pairs of the content. The search looks at
// one pair in m - 1 and skips it unless it occurs in the delimiter. This takes a tenth of the time that copying the bytes
// to WebAssembly would take.
export class Needle {
  #bytes;
  #pairs = new Uint8Array(4096);

  constructor(delimiter) {
    this.#bytes = delimiter.slice();
    for (let i = 1; i < delimiter.length; i++) this.#pairs[pairHash(delimiter[i - 1], delimiter[i])] = 1;
  }

  // Where the delimiter begins, whole or cut off by the end of the view. The length of the view if it does not occur.
  find(view, from) {
    const pairs = this.#pairs;
    const end = view.length;
    const step = this.#bytes.length - 1;
    let at = from + step;
    for (; at < end; at += step) {
      if (pairs[pairHash(view[at - 1], view[at])] === 0) continue;
      const found = this.#beginsWithin(view, at - step, at);
      if (found !== -1) return found;
    }
    const cutOff = this.#beginsWithin(view, Math.max(from, at - step), end);
    return cutOff === -1 ? end : cutOff;
  }

  // The only CR of a delimiter is its first byte, so no byte is compared twice.
  #beginsWithin(view, from, to) {
    const bytes = this.#bytes;
    for (let begin = from; begin < to; begin++) {
      if (view[begin] !== CR) continue;
      const length = Math.min(bytes.length, view.length - begin);
      let same = 1;
      while (same < length && view[begin + same] === bytes[same]) same++;
      if (same === length) return begin;
    }
    return -1;
  }
}

// A digest by workerd's own DigestStream (developers.cloudflare.com, "Web Crypto"), which computes outside JavaScript.
export class Digester {
  #stream;
  #writer;
  #watched;

  constructor(algorithm) {
    this.#stream = new crypto.DigestStream(algorithm);
    ignore(this.#stream.digest);
  }

  write(view) {
    this.#writer ??= this.#stream.getWriter();
    return this.#writer.write(view);
  }

  // Adds all of `body`, and gives the stream to read in its place.
  watch(body) {
    const [read, digested] = body.tee();
    this.#watched = digested.pipeTo(this.#stream);
    ignore(this.#watched);
    return read;
  }

  async finish() {
    if (this.#watched) await this.#watched;
    else await (this.#writer ?? this.#stream.getWriter()).close();
    return new Uint8Array(await this.#stream.digest);
  }
}

// The method, the URL and the wanted headers, one per line. A missing header is an empty line.
export function head(request, wanted) {
  const { method, url, headers } = request;
  return [method, url, ...wanted.split("\n").map((name) => headers.get(name) ?? "")].join("\n");
}

export function respond(status, headers, body) {
  return new Response(body === "" ? null : body, { status, headers: record(headers) });
}

// Begins a GET for a file, or for a range of it. What comes has to be the bytes themselves, and none of them compressed.
export async function fetchFile(url, range, signal) {
  const headers = { "accept-encoding": "identity" };
  if (range !== "") headers.range = range;
  const response = await fetch(url, { headers, redirect: "manual", signal });
  const header = (name) => response.headers.get(name) ?? undefined;
  const isPlain = (header("content-encoding") ?? "identity") === "identity";
  return {
    status: isPlain ? response.status : 0,
    length: header("content-length"),
    range: header("content-range"),
    retryAfter: header("retry-after"),
    body: response.body ?? undefined,
  };
}

export async function readUpTo(body, most) {
  const reader = body.getReader({ mode: "byob" });
  const { value } = await reader.readAtLeast(most, new Uint8Array(most));
  ignore(reader.cancel());
  return value ?? new Uint8Array();
}

// Natively: the bytes never enter JavaScript. Whichever side fails, the other ends as well.
export function pipe(body, writable) {
  return body.pipeTo(writable, { preventClose: true });
}

// Breaks a body off, so that the client sees that its end is missing. workerd takes an error that is marked so for a lost connection,
// and all others for a fault of the worker, which it writes to its log.
export function breakOff(writable) {
  const reason = Object.assign(new Error("The file's end is missing"), { retryable: true });
  ignore(writable.abort(reason));
}

const CUT_READ_BYTES = 256 * 1024;

// The bytes from `start` to `end`, of a body that has others around them.
export async function pipeRange(body, writable, start, end) {
  const reader = body.getReader({ mode: "byob" });
  const writer = writable.getWriter();
  try {
    let buffer = new ArrayBuffer(CUT_READ_BYTES);
    for (let at = 0; at < end; ) {
      const wanted = Math.min(CUT_READ_BYTES, end - at);
      const { value } = await reader.readAtLeast(wanted, new Uint8Array(buffer, 0, wanted));
      if (value === undefined || value.length === 0) throw new Error("ended early");
      const skipped = Math.max(0, start - at);
      if (skipped < value.length) await writer.write(value.subarray(skipped));
      at += value.length;
      buffer = value.buffer;
    }
    writer.releaseLock();
  } catch (error) {
    writer.releaseLock();
    breakOff(writable);
    throw error;
  } finally {
    ignore(reader.cancel());
  }
}

// Sends a request and reads the answer, at most `max` bytes of it: `body` is undefined if there are
// more. Redirects are not followed, because one could lead a token anywhere.
//
// `last`, if given, is the end of the body. It is written only after the runtime has taken what comes
// before it. Status 0 means that it was not written.
export async function exchange(url, method, headers, body, last, timeoutMs, signal, max) {
  const init = {
    method,
    headers: record(headers),
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
      // A success for half a body does not mean that nothing happened.
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
    // A read with room for one byte more than `max` shows whether the body is too long.
    const reader = response.body.getReader({ mode: "byob" });
    const { value } = await reader.readAtLeast(max + 1, new Uint8Array(max + 1));
    if (value === undefined) answer.body = new Uint8Array();
    else if (value.length <= max) answer.body = value;
    else ignore(reader.cancel());
  }
  return answer;
}
