import type { Command } from 'commander';
import {
  type Comparison,
  compareDump,
  compareFtrace,
  compareSmmuAt,
  compareVtdLog,
  parseDump,
  parseFtrace,
  parseSmmuDump,
  type TableDifference,
} from '../../../replay/index.ts';
import { UsageError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { jsonOfFtrace, printFtrace } from '../ftrace-report.ts';
import {
  addPointOptions,
  hex,
  hexWord,
  lookAtPoint,
  type PointFlags,
  pointOf,
  readTextFile,
} from '../hardware-point.ts';
import { addExamples, parseSeconds } from '../options.ts';
import type { Runner, Session } from '../session.ts';
import { type Target, withTarget } from '../target.ts';
import { jsonOfVtdLog, printVtdLog } from '../vtd-log-report.ts';

interface CompareFlags extends PointFlags {
  readonly dump?: string;
  readonly ftrace?: string;
  readonly vtdLog?: string;
  readonly clockOffset?: number;
}

/** Differences that are printed; all are counted, and `--json` has them all. */
const MOST_LINES = 50;

/** `ioasis compare-hw`: what was read from the real machine against what the trace says of it. */
export function registerCompareHw(program: Command, run: Runner): void {
  const command = addPointOptions(
    program
      .command('compare-hw')
      .description('compare what was read from the real machine with what the trace says it should hold')
      .argument('<trace>', 'name of a trace, or a capture file; - for standard input'),
  )
    .option('--dump <file>', "a dump at the point: Linux's intel-iommu debugfs, or tables read from memory")
    .option(
      '--ftrace <file>',
      "the kernel's iommu trace events of the whole trace: map, unmap, attach, fault",
    )
    .option(
      '--vtd-log <file>',
      "trace events of QEMU's emulated VT-d (-trace 'vtd_*') while the trace was recorded: all of it",
    )
    .option(
      '--clock-offset <seconds>',
      "what to add to the trace's clock for that of --vtd-log; found by itself otherwise",
      parseSeconds,
    );
  addExamples(command, [
    [
      'ioasis compare-hw run.jsonl.gz --marker mapped --dump debugfs-mapped.txt',
      'every entry of the tables of user space, bit by bit',
    ],
    ['ioasis compare-hw run.jsonl.gz --ftrace ftrace.txt', 'every map and unmap of the kernel, in its order'],
    [
      'ioasis compare-hw run.jsonl.gz --vtd-log outer-vtd.log.gz',
      'every invalidation that the unit was told, and every hit of its IOTLB',
    ],
  ]);
  command.action((name: string, flags: CompareFlags) =>
    run(command, (session) => withTarget(session, name, (target) => compare(session, target, flags))),
  );
}

function compare(session: Session, target: Target, flags: CompareFlags): ExitCode {
  const { dump, ftrace, vtdLog } = flags;
  if ([dump, ftrace, vtdLog].filter((file) => file !== undefined).length !== 1)
    throw new UsageError('give one of --dump, --ftrace and --vtd-log');
  if (flags.clockOffset !== undefined && vtdLog === undefined)
    throw new UsageError('--clock-offset goes with --vtd-log');
  if (ftrace !== undefined) return compareEvents(session, target, flags, ftrace);
  if (vtdLog !== undefined) return compareLog(session, target, flags, vtdLog);
  const { kind, comparison } = comparisonOf(target, flags, dump!);
  if (session.json) session.print(jsonOf(comparison));
  else printComparison(session, comparison, kind);
  return comparison.different > 0 ? EXIT.finding : EXIT.clean;
}

/** The events are those of the whole trace: no point of it can be named. */
function compareEvents(session: Session, target: Target, flags: CompareFlags, path: string): ExitCode {
  if (flags.at !== undefined || flags.marker !== undefined)
    throw new UsageError('--ftrace compares the whole trace; --at and --marker go with --dump');
  const ftrace = parseFtrace(readTextFile(path));
  if (ftrace === null)
    throw new UsageError(`${path}: no trace of the kernel's events (tracefs or trace-cmd)`);
  const comparison = compareFtrace(target.store, target.trace, ftrace, { kernel: flags.kernel ?? null });
  if (session.json) session.print(jsonOfFtrace(comparison));
  else printFtrace(session, comparison);
  return comparison.different > 0 ? EXIT.finding : EXIT.clean;
}

/** The log of the whole trace, or of what there is of it up to a point. */
function compareLog(session: Session, target: Target, flags: CompareFlags, path: string): ExitCode {
  const comparison = compareVtdLog(target.store, target.trace, readTextFile(path), {
    kernel: flags.kernel ?? null,
    clockOffset: flags.clockOffset ?? null,
    untilSeq: pointOf(target, flags, false),
  });
  if (comparison === null) throw new UsageError(`${path}: no event of QEMU's emulated VT-d (-trace 'vtd_*')`);
  if (session.json) session.print(jsonOfVtdLog(comparison));
  else printVtdLog(session, comparison);
  return comparison.different > 0 ? EXIT.finding : EXIT.clean;
}

function comparisonOf(target: Target, flags: CompareFlags, path: string) {
  const text = readTextFile(path);
  if (parseSmmuDump(text) !== null) {
    const { store, trace, label } = target;
    const seq = pointOf(target, flags, true)!;
    const comparison = compareSmmuAt(store, trace, seq, text, { kernel: flags.kernel ?? null });
    if (comparison === null) throw new UsageError(`${label}: the trace tells no registers of an SMMUv3`);
    return { kind: 'SMMUv3', comparison };
  }
  const dump = parseDump(text);
  if (dump === null) throw new UsageError(`${path}: no dump of IOMMU tables that ioasis knows`);
  return { kind: dump.kind, comparison: compareDump(lookAtPoint(target, flags, true), dump) };
}

function jsonOf(comparison: Comparison): string {
  const differences = comparison.differences.map((each) => ({
    ...each,
    iova: hex(each.iova),
    ours: each.ours === null ? null : hexWord(each.ours),
    theirs: each.theirs === null ? null : hexWord(each.theirs),
    bits: hexWord(each.bits),
  }));
  const unknownPages = comparison.unknownPages.map((each) => ({
    ...each,
    iova: hex(each.iova),
    va: hex(each.va),
  }));
  return JSON.stringify({ ...comparison, unknownPages, differences });
}

function printComparison(session: Session, comparison: Comparison, kind: string): void {
  const { entries, equal, different, tables, deviceEntries, unknownBits, undetermined, differences } =
    comparison;
  for (const difference of differences.slice(0, MOST_LINES)) session.print(lineOf(difference));
  if (differences.length > MOST_LINES) session.print(`… and ${differences.length - MOST_LINES} more`);
  session.print(
    `${kind}: ${tables} tables and ${deviceEntries} entries of devices, ` +
      `${entries} words, ${equal} equal, ${different} different`,
  );
  for (const [holds, bits] of Object.entries(unknownBits)) {
    session.print(`  ${holds}: ${bits} bits that the trace does not determine`);
  }
  for (const { bdf, iova, pages, pid, va } of comparison.unknownPages.slice(0, MOST_LINES)) {
    const memory = pid === null ? `page ${hex(va)} of a memory file` : `process ${pid} at ${hex(va)}`;
    session.print(`  ${bdf} ${hex(iova)}: no note tells the ${pages} physical pages of ${memory}`);
  }
  for (const { bdf, pasid } of undetermined) {
    session.print(`  ${bdf} PASID ${pasid}: not in the dump, and nothing tells whether it should be`);
  }
}

function lineOf({ bdf, pasid, what, level, iova, ours, theirs, bits, why }: TableDifference): string {
  const slot = pasid === 0 ? bdf : `${bdf} PASID ${pasid}`;
  if (what === 'table') return `${slot}: ${why}`;
  const place = `${slot} ${hex(iova)} level ${level}`;
  if (what === 'device') return `${slot} ${why}: ${wordsText(ours!, theirs!, bits)}`;
  if (what === 'missing') return `${place}: ${hexWord(ours!)} is not in the dump`;
  if (what === 'extra') return `${place}: ${hexWord(theirs!)} only in the dump`;
  return `${place}: ${wordsText(ours!, theirs!, bits)}`;
}

function wordsText(ours: bigint, theirs: bigint, bits: bigint): string {
  return `${hexWord(ours)}, in the dump ${hexWord(theirs)}, bits ${hexWord(bits)}`;
}
