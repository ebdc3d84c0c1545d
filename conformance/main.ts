import { writeFileSync } from 'node:fs';
import {
  type CaptureReport,
  FIXTURES,
  findCaptures,
  groupDifferences,
  renderKnown,
  renderReport,
  replayCapture,
  UNEXPLAINED,
} from './index.ts';

/**
 * `npm run conformance`: replays all fixtures, and writes docs/conformance.md and the list of known
 * differences. `npm run conformance -- FOLDER…`: replays the captures of these folders, and prints the report
 * instead: it is not about the fixtures. Exit code 1 when a difference has no cause.
 */

const REPORT = 'docs/conformance.md';
const KNOWN = 'conformance/known-differences.jsonl';

async function main(folders: readonly string[]): Promise<void> {
  const reports: CaptureReport[] = [];
  for (const folder of folders.length === 0 ? [FIXTURES] : folders) {
    for (const capture of findCaptures(folder)) reports.push(await replayCapture(capture));
  }
  const known = reports.flatMap(({ differences }) => groupDifferences(differences));
  if (folders.length > 0) process.stdout.write(renderReport(reports));
  else {
    writeFileSync(REPORT, renderReport(reports));
    writeFileSync(KNOWN, renderKnown(known));
  }
  const unexplained = known.filter(({ cause }) => cause === UNEXPLAINED);
  const calls = unexplained.reduce((total, { count }) => total + count, 0);
  process.stderr.write(`${reports.length} captures replayed, ${calls} differences without a cause\n`);
  if (calls > 0) process.exitCode = 1;
}

await main(process.argv.slice(2));
