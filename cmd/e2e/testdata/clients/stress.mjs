// Reads and marks mail at random with imapflow until the time is over, over several
// connections, and complains about what cannot be so.
import { createHash } from "node:crypto";
import { ImapFlow } from "imapflow";

const { NAME, PASSWORD, IMAP_PORT, SECONDS, IMAP_CONNECTIONS } = process.env;
const until = Date.now() + Number(SECONDS) * 1000;
const folders = ["INBOX", "Queued", "Deferred", "Sent", "Bounced"];
const pick = (list) => list[Math.floor(Math.random() * list.length)];
const counts = { steps: 0, messages: 0, connections: 0, exists: 0, expunge: 0, flags: 0 };
const octets = new Map(); // "UIDVALIDITY.UID": hash
let faults = 0;

function fault(text) {
  faults++;
  console.log("fault\t" + text);
}

async function connect() {
  const client = new ImapFlow({
    host: "127.0.0.1", port: Number(IMAP_PORT), secure: false, logger: false, disableAutoIdle: true, qresync: false,
    auth: { user: NAME, pass: PASSWORD },
  });
  client.on("error", (e) => fault(`error event: ${e.stack}`));
  for (const event of ["exists", "expunge", "flags"]) client.on(event, () => counts[event]++);
  await client.connect();
  counts.connections++;
  return client;
}

// all fetches what has a sequence number: without gaps, unless some are expunged
// already; UIDs ascending.
async function all(client) {
  const before = client.mailbox.exists;
  const uids = new Map();
  if (!before) return;
  for await (const m of client.fetch("1:*", { uid: true, flags: true })) {
    if ((uids.get(m.seq) ?? m.uid) !== m.uid) fault(`message ${m.seq} has the UIDs ${uids.get(m.seq)} and ${m.uid}`);
    uids.set(m.seq, m.uid);
  }
  let last = 0;
  for (const seq of [...uids.keys()].sort((a, b) => a - b)) {
    if (uids.get(seq) <= last) fault(`UID ${uids.get(seq)} follows ${last}`);
    last = uids.get(seq);
  }
  if (uids.size > Math.max(before, client.mailbox.exists)) fault(`there are ${uids.size} of ${before} messages`);
}

async function read(client) {
  const uids = await client.search({ all: true }, { uid: true });
  if (!uids || !uids.length) return;
  const some = [...new Set([pick(uids), pick(uids), pick(uids), uids.at(-1)])].sort((a, b) => a - b);
  for await (const m of client.fetch(some.join(","), { uid: true, envelope: true, bodyStructure: true, size: true, source: true, internalDate: true, flags: true }, { uid: true })) {
    if (!m.source) continue; // only its flags have changed
    if (m.size !== m.source.length) fault(`UID ${m.uid} has ${m.source.length} octets and size ${m.size}`);
    if (!m.envelope.subject || !m.bodyStructure.type) fault(`UID ${m.uid} has no subject or structure`);
    const key = `${client.mailbox.uidValidity}.${m.uid}`;
    const hash = createHash("sha1").update(m.source).digest("hex");
    if ((octets.get(key) ?? hash) !== hash) fault(`the octets of ${key} have changed`);
    octets.set(key, hash);
    counts.messages++;
  }
}

async function mark(client) {
  const uids = await client.search(pick([{ seen: false }, { seen: true }]), { uid: true });
  if (!uids || !uids.length) return;
  const some = [pick(uids), pick(uids)];
  if (Math.random() < 0.5) await client.messageFlagsAdd(some, ["\\Seen"], { uid: true });
  else await client.messageFlagsRemove(some, ["\\Seen"], { uid: true });
}

async function idle(client) {
  const waiting = client.idle();
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 400));
  await client.noop(); // ends it
  await waiting;
}

async function status(client) {
  const s = await client.status(pick(folders), { messages: true, uidNext: true, unseen: true, highestModseq: true });
  if (!(s.messages >= 0 && s.uidNext > 0)) fault(`status ${JSON.stringify(s)}`);
}

async function run() {
  let client;
  while (Date.now() < until) {
    client ??= await connect();
    if (!client.mailbox || Math.random() < 0.15) await client.mailboxOpen(pick(folders));
    await pick([all, read, read, mark, idle, status])(client).catch((e) => {
      if (e.serverResponseCode !== "EXPUNGEISSUED") throw e; // some were expunged meanwhile
    });
    counts.steps++;
    if (Math.random() < 0.02) {
      await client.logout();
      client = undefined;
    }
  }
  await client?.logout();
}

process.on("unhandledRejection", (e) => fault(`unhandled: ${e?.stack}`));
await Promise.all(Array.from({ length: Number(IMAP_CONNECTIONS) }, () =>
  run().catch((e) => fault(`${e.stack} ${e.responseStatus ?? ""} ${e.responseText ?? ""} ${e.executedCommand ?? ""}`))));
console.log("did\t" + Object.entries(counts).map(([what, n]) => `${n} ${what}`).join(" "));
process.exit(faults ? 1 : 0);
