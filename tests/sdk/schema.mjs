// Checks documents against a JSON schema with ajv: the first line of stdin is the schema, and each line
// after it a document. Writes a line for each: "valid", or what is wrong.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const require = createRequire(process.env.NODE_MODULES + "/");
const Ajv = require("ajv/dist/2020");
let validate;
for await (const line of createInterface({ input: process.stdin })) {
  if (!validate) {
    // Strict, so that a keyword that does not exist is an error.
    const ajv = new (Ajv.default ?? Ajv)({ strict: true, strictTypes: false, allErrors: true });
    validate = ajv.compile(JSON.parse(line));
    continue;
  }
  const valid = validate(JSON.parse(line));
  const problems = (validate.errors ?? []).map((e) => `${e.instancePath} ${e.message}`);
  process.stdout.write(valid ? "valid\n" : `${problems.join("; ")}\n`);
}
