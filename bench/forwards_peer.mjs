// Reads cases as JSON lines {id, subject, text, html} and prints one JSON line of answers each with email-forward-parser of npm.
// Afterwards one line {speed, cases}: the same cases once more, only counted.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const require = createRequire(process.argv[2] + "/");
const Parser = require("email-forward-parser");
const parser = new (Parser.default || Parser)();
const cases = [];
for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim()) cases.push(JSON.parse(line));
}
const mailbox = (box) => (box && box.address ? { name: box.name || null, address: box.address } : null);
for (const one of cases) {
  let answer = { id: one.id, forwarded: false };
  try {
    const read = parser.read(one.text, one.subject || undefined);
    const email = read.email || {};
    answer = {
      id: one.id,
      forwarded: read.forwarded,
      from: mailbox(email.from),
      to: (email.to || []).map(mailbox),
      cc: (email.cc || []).map(mailbox),
      subject: email.subject || null,
      date: email.date || null,
      body: email.body || null,
      note: read.message || null,
    };
  } catch (error) {
    answer.error = String(error);
  }
  console.log(JSON.stringify(answer));
}
const began = process.cpuUsage();
for (const one of cases) {
  try {
    parser.read(one.text, one.subject || undefined);
  } catch {
    // counted above
  }
}
const used = process.cpuUsage(began);
console.log(JSON.stringify({ speed: cases.length / ((used.user + used.system) / 1e6) }));
