// Node's fetch (undici): `client.mjs`. Cases on standard input, statuses on standard output.
import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";

async function* parts(content, pause) {
  yield content.subarray(0, 65536);
  if (pause) await setTimeout(6000);
  yield content.subarray(65536);
}

for (const line of readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  const [name, method, url, key, framing, file, encoding] = line.split("\t");
  const content = readFileSync(file);
  const headers = { "x-key": key, ...(encoding && { "content-encoding": encoding }) };
  const body = framing === "length" ? content : parts(content, framing === "slow");
  try {
    const answer = await fetch(url, { method, headers, body, duplex: "half" });
    await answer.arrayBuffer();
    console.log(`${name}\t${answer.status}`);
  } catch (error) {
    console.log(`${name}\t${error.message}: ${error.cause?.message}`);
  }
}
