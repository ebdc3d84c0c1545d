import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { type Call, type Capture, parseCapture } from '../../src/trace/index.ts';

/** Recorded selftests of Linux 6.12: see PROVENANCE.md beside them. */
export const SELFTESTS = join(import.meta.dirname, '..', 'fixtures', 'linux-6.12-selftests');

const SUFFIX = '.jsonl.gz';

/** Names of the fixtures, without their suffix, in a fixed order. */
export function fixtureNames(folder = SELFTESTS): string[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith(SUFFIX))
    .map((file) => file.slice(0, -SUFFIX.length))
    .sort();
}

export function fixturePath(name: string, folder = SELFTESTS): string {
  return join(folder, `${name}${SUFFIX}`);
}

export function readFixture(name: string, folder = SELFTESTS): Capture {
  return parseCapture(gunzipSync(readFileSync(fixturePath(name, folder))).toString(), name);
}

export function fixtureCalls(name: string, folder = SELFTESTS): readonly Call[] {
  return readFixture(name, folder).calls;
}
