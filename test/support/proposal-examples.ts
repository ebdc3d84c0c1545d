import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { chooseProfile, createKernel, type Kernel, machineOf, NO_EFFECTS } from '../../src/model/index.ts';
import { type Call, parseRecord, type TraceHeader } from '../../src/trace/index.ts';
import type { Recording } from './stored.ts';

/** The worked examples of the proposals of 2020 and 2021. */

const FOLDER = join(import.meta.dirname, '../../examples/proposal');

/** Names without `.jsonl`, sorted. */
export const EXAMPLE_NAMES: readonly string[] = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.jsonl'))
  .map((name) => name.replace('.jsonl', ''))
  .sort();

export function readExample(name: string): Recording {
  const calls: Call[] = [];
  let header: TraceHeader | undefined;
  const lines = readFileSync(join(FOLDER, `${name}.jsonl`), 'utf8')
    .trimEnd()
    .split('\n');
  for (const [index, line] of lines.entries()) {
    const at = { fileName: name, lineNumber: index + 1, previousSeq: calls.at(-1)?.seq ?? -1 };
    const record = parseRecord(line, at);
    if (record.type === 'skipped') throw new Error(`${name}: unknown op ${record.op}`);
    if (record.type === 'header') header = record.header;
    else calls.push(record.call);
  }
  return { header: header!, calls };
}

/** The kernel and machine that a recording's header names. */
export function kernelFor({ header }: Recording, effects = NO_EFFECTS): Kernel {
  const { profile } = chooseProfile(header.kernel, header.pageSizeBytes);
  return createKernel(profile, true, effects, machineOf(header));
}
