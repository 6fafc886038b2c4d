// The usual way: `formData()` in, a new `FormData` out, credentials in a Map for an hour. The file is in memory as a whole.

const CACHE_MS = 60 * 60 * 1000;
const CORS = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Allow-Methods": "POST, OPTIONS",
  "Access-Control-Allow-Headers": "Content-Type, Authorization",
};
const cache = new Map();

export default {
  async fetch(request, env) {
    if (request.method === "OPTIONS") return new Response(null, { headers: CORS });
    if (request.method !== "POST") return reply({ error: "Method not allowed" }, 405);
    try {
      return await upload(request, env);
    } catch (error) {
      return reply({ error: error.message }, 500);
    }
  },
};

async function upload(request, env) {
  const form = await request.formData();
  const file = form.get("file");
  const token = form.get("authToken");
  if (!file) return reply({ error: "No file provided" }, 400);
  if (!token) return reply({ error: "Auth token required" }, 401);
  const fileName = form.get("fileName") || file.name;
  const credentials = await credentialsOf(token, env);

  const outgoing = new FormData();
  outgoing.append("chat_id", credentials.channel_id);
  outgoing.append("caption", `Uploaded: ${fileName}`);
  outgoing.append("document", file, fileName);
  const answer = await fetch(`${env.TELEGRAM_API_URL}/bot${credentials.bot_token}/sendDocument`, {
    method: "POST",
    body: outgoing,
  });
  const sent = await answer.json();
  if (!sent.ok) return reply({ error: sent.description || "Telegram upload failed" }, 500);

  const messageId = sent.result.message_id;
  const fileId = sent.result.document.file_id;
  await fetch(`${env.BACKEND_URL}/api/webhook/upload`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      userId: credentials.user_id,
      fileName,
      messageId,
      fileId,
      size: file.size,
      mimeType: file.type,
    }),
  });
  return reply({ success: true, messageId, fileId, fileName }, 200);
}

async function credentialsOf(token, env) {
  const cached = cache.get(token);
  if (cached && Date.now() - cached.at < CACHE_MS) return cached.credentials;
  const answer = await fetch(`${env.BACKEND_URL}/api/worker/credentials`, {
    headers: { Authorization: `Bearer ${token}` },
  });
  if (!answer.ok) throw new Error(`Failed to fetch credentials: ${answer.status}`);
  const credentials = await answer.json();
  cache.set(token, { credentials, at: Date.now() });
  return credentials;
}

function reply(body, status) {
  return new Response(JSON.stringify(body), { status, headers: { ...CORS, "Content-Type": "application/json" } });
}
