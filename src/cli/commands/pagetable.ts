import type { Command } from 'commander';
import { findSlot, type HardwareDomain, type HardwareView } from '../../../replay/index.ts';
import { UsageError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { addPointOptions, lookAtPoint, type PointFlags, parsePages } from '../hardware-point.ts';
import { addExamples, parseInteger } from '../options.ts';
import { jsonOfPageTable, type PageRange, printPageTable } from '../pagetable-report.ts';
import type { Runner, Session } from '../session.ts';
import { jsonOfSlot, slotLine } from '../slot-report.ts';
import { type Target, withTarget } from '../target.ts';

interface PagetableFlags extends PointFlags {
  readonly hwpt?: number;
  readonly device?: string;
  readonly pasid?: number;
  readonly iova?: PageRange;
  readonly format?: string;
  readonly raw?: boolean;
  readonly slots?: boolean;
}

const EVERYTHING: PageRange = { first: 0, last: 2 ** 52 - 1 };

/** `ioasis pagetable`: the page tables that the IOMMUs hold, bit for bit. */
export function registerPagetable(program: Command, run: Runner): void {
  const command = addPointOptions(
    program
      .command('pagetable')
      .description('show the page tables that the IOMMUs hold at a point of a trace')
      .argument('<trace>', 'name of a trace, or a capture file; - for standard input'),
  )
    .option('--hwpt <id>', 'only the table of this HWPT', parseInteger)
    .option('--device <device>', 'only the table of this device: 0000:00:02.0, 00:02.0 or vfio0')
    .option('--pasid <pasid>', 'with --device: of this PASID', parseInteger)
    .option('--iova <range>', 'only what translates this range: A, A-B or A+LENGTH', parsePages)
    .option('--format <format>', 'show as this format, such as vtd-ss, vtd-fs, amdv1, amdv2 or riscv-sv57')
    .option('--raw', 'every entry with its word and the bits that the trace does not determine')
    .option('--slots', 'first what each device, and each of its PASIDs, translates by');
  addExamples(command, [
    ['ioasis pagetable run.jsonl.gz --marker mapped --device 00:02.0', 'the table of a device at a marker'],
    ['ioasis pagetable run --at 57 --hwpt 3 --iova 0x100000+0x4000 --raw', 'the words of a few entries'],
  ]);
  command.action((name: string, flags: PagetableFlags) =>
    run(command, (session) => withTarget(session, name, (target) => show(session, target, flags))),
  );
}

function show(session: Session, target: Target, flags: PagetableFlags): ExitCode {
  if (flags.pasid !== undefined && flags.device === undefined) throw new UsageError('--pasid needs --device');
  const view = lookAtPoint(target, flags, false, flags.format);
  const domains = chooseDomains(view, flags, target.label);
  const isUnknown = domains.length > 0 && domains.every(({ table }) => table === null);
  if (flags.format !== undefined && isUnknown)
    throw new UsageError(`--format ${flags.format}: no such format`);
  const range = flags.iova ?? EVERYTHING;
  if (session.json) {
    const tables = domains.map((each) => jsonOfPageTable(each, range));
    session.print(JSON.stringify({ seq: view.seq, slots: view.slots.map(jsonOfSlot), tables }));
    return EXIT.clean;
  }
  if (flags.slots === true) for (const slot of view.slots) session.print(slotLine(slot));
  for (const domain of domains) printPageTable(session, domain, range, flags.raw === true);
  if (domains.length === 0) session.remark('no page table of a real IOMMU exists at this point');
  return EXIT.clean;
}

function chooseDomains(view: HardwareView, flags: PagetableFlags, label: string): readonly HardwareDomain[] {
  const { hwpt, device, pasid = 0 } = flags;
  if (hwpt !== undefined) {
    const found = view.domains.filter((domain) => domain.hwpt === hwpt);
    if (found.length === 0)
      throw new UsageError(`${label}: no HWPT ${hwpt} with a page table at call ${view.seq}`);
    return found;
  }
  if (device === undefined) return view.domains;
  const slot = findSlot(view, device, pasid);
  if (slot === null) throw new UsageError(`${label}: nothing is known of PASID ${pasid} of device ${device}`);
  const { state } = slot;
  if (state.kind === 'paging' || state.kind === 'nested')
    return view.domains.filter(({ key }) => key === state.domain);
  throw new UsageError(
    `${label}: device ${device} has no page table of a user at call ${view.seq}: ${state.kind}`,
  );
}
