"use strict";

// Other arguments (--base-path, --allow-paths …) concern files; both callers send every source in the JSON.
const solc = require("solc");

function readStdin(done) {
  const chunks = [];
  process.stdin.on("data", (chunk) => chunks.push(chunk));
  process.stdin.on("end", () => done(Buffer.concat(chunks).toString("utf8")));
}

if (process.argv.includes("--version")) {
  process.stdout.write(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}\n`);
} else if (process.argv.includes("--standard-json")) {
  readStdin((input) => process.stdout.write(solc.compile(input)));
} else {
  process.stderr.write(`expected --version or --standard-json, got ${process.argv.slice(2).join(" ") || "nothing"}\n`);
  process.exitCode = 2;
}
