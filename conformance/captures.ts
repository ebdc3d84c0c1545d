import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';

/** Where the project keeps its captures, from the root of the project. */
export const FIXTURES = 'test/fixtures';

const SUFFIX = /\.jsonl(\.gz)?$/;

/** A capture to replay. */
export interface CaptureFile {
  /** Name of the folder that it lies in: `linux-6.12-vtd`. */
  readonly folder: string;
  /** Its own name, without the suffix: `legacy48-basic`. */
  readonly name: string;
  readonly path: string;
}

/** All captures below a folder: of the folder itself and of those in it, by folder and name. */
export function findCaptures(root: string): CaptureFile[] {
  const inside = readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap(({ name }) => findCaptures(join(root, name)));
  return [...capturesOf(root), ...inside].sort(byName);
}

function capturesOf(root: string): CaptureFile[] {
  return readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isFile() && SUFFIX.test(entry.name))
    .map(({ name }) => ({
      folder: basename(root),
      name: name.replace(SUFFIX, ''),
      path: join(root, name),
    }));
}

function byName(a: CaptureFile, b: CaptureFile): number {
  return compareText(a.folder, b.folder) || compareText(a.name, b.name);
}

/** Order by code units: the same everywhere, whatever the locale. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
