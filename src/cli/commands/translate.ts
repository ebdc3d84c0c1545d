import type { Command } from 'commander';
import { Option } from 'commander';
import {
  type Access,
  createTranslator,
  deviceNamed,
  findSlot,
  type Geometry,
  type HardwareFault,
  type HardwareView,
  lookAtIotlb,
  type Translation,
} from '../../../replay/index.ts';
import { UsageError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import {
  addPointOptions,
  hex,
  hexWord,
  lookAtPoint,
  type PointFlags,
  parseAddress,
  parseGeometryOption,
  pointOf,
  readTextFile,
} from '../hardware-point.ts';
import { jsonOfAnswer, printAnswer } from '../iotlb-report.ts';
import { addExamples, parseInteger } from '../options.ts';
import type { Runner, Session } from '../session.ts';
import { type Target, withTarget } from '../target.ts';

interface TranslateFlags extends PointFlags {
  readonly device: string;
  readonly pasid?: number;
  readonly iova?: bigint;
  readonly access: Access;
  readonly many?: string;
  /** True when no size was given. */
  readonly iotlb?: Geometry | true;
}

interface Request {
  readonly iova: bigint;
  readonly access: Access;
}

/** `ioasis translate`: the way of an access through the IOMMU. */
export function registerTranslate(program: Command, run: Runner): void {
  const command = addPointOptions(
    program
      .command('translate')
      .description('follow a DMA access through device entry and page tables, to its page or its fault')
      .argument('<trace>', 'name of a trace, or a capture file; - for standard input'),
  )
    .requiredOption('--device <device>', 'the device: 0000:00:02.0, 00:02.0 or vfio0')
    .option('--pasid <pasid>', 'the PASID of the access', parseInteger)
    .option('--iova <address>', 'the address that the device uses', parseAddress)
    .addOption(new Option('--access <kind>', 'read, write or execute').choices(['r', 'w', 'x']).default('r'))
    .option('--many <file>', 'translate each line of a file: an address, and r, w or x behind it if wanted')
    .option(
      '--iotlb [geometry]',
      'through the caches, in order: by which entry, or which ones a walk fills; such as sets=64,ways=8',
      parseGeometryOption,
    );
  addExamples(command, [
    ['ioasis translate run.jsonl.gz --at 57 --device 00:02.0 --iova 0x100000', 'step by step'],
    ['ioasis translate run --marker mapped --device vfio0 --many iovas.txt --json', 'one JSON line for each'],
    [
      'ioasis translate run --at 57 --device vfio0 --iova 0x100000 --iotlb',
      'what the device gets where an entry is left, stale or not',
    ],
  ]);
  command.action((name: string, flags: TranslateFlags) =>
    run(command, (session) => withTarget(session, name, (target) => show(session, target, flags))),
  );
}

function show(session: Session, target: Target, flags: TranslateFlags): ExitCode {
  const { device, pasid = 0, iova, many, access } = flags;
  if ((iova === undefined) === (many === undefined)) throw new UsageError('give one of --iova and --many');
  if (flags.iotlb !== undefined) return throughCaches(session, target, flags);
  const view = lookAtPoint(target, flags);
  const slot = findSlot(view, device, pasid);
  if (slot === null)
    throw new UsageError(`${target.label}: nothing is known of PASID ${pasid} of device ${device}`);
  const translate = createTranslator(view, slot, pasid);
  if (many === undefined) {
    const request = { iova: iova!, access };
    printOne(session, view, request, translate(request.iova, request.access));
    return EXIT.clean;
  }
  for (const request of readRequests(many, access)) {
    printLine(session, request, translate(request.iova, request.access));
  }
  return EXIT.clean;
}

/** The accesses as the hardware makes them at that point: by what its caches hold, and filling them. */
function throughCaches(session: Session, target: Target, flags: TranslateFlags): ExitCode {
  const { device, pasid = 0, iova, many, access, iotlb } = flags;
  const requests = many === undefined ? [{ iova: iova!, access }] : [...readRequests(many, access)];
  const view = lookAtIotlb(target.store, target.trace, pointOf(target, flags, false), {
    kernel: flags.kernel ?? null,
    geometry: iotlb === true ? null : iotlb!,
    *accesses({ state }) {
      const index = deviceNamed(state.kernel, device);
      if (index === null) throw new UsageError(`${target.label}: the machine has no device ${device}`);
      for (const each of requests)
        yield { device: index, pasid, page: Number(each.iova >> 12n), access: each.access };
    },
  });
  const { machine } = view.projection.state.kernel;
  for (const answer of view.answers) {
    if (session.json) session.print(JSON.stringify({ seq: view.seq, ...jsonOfAnswer(answer, machine) }));
    else printAnswer(session, answer);
  }
  return EXIT.clean;
}

function* readRequests(path: string, usual: Access): Generator<Request> {
  let number = 0;
  for (const line of readTextFile(path).split('\n')) {
    number += 1;
    const text = line.trim();
    if (text === '' || text.startsWith('#')) continue;
    const [, address, access] = /^(0x[0-9a-f]{1,16}|\d{1,19})(?:\s+([rwx]))?$/i.exec(text) ?? [];
    if (address === undefined)
      throw new UsageError(`${path}:${number}: expected an address, and r, w or x behind it if wanted`);
    yield { iova: BigInt(address), access: (access as Access | undefined) ?? usual };
  }
}

/** `emulated`: what QEMU's emulation reports, where that is another code than the specification's. */
function jsonOfFault({ code, name, emulated }: HardwareFault): object {
  return { code: hex(code), name, ...(emulated === undefined ? {} : { emulated: hex(emulated) }) };
}

function jsonOf(
  { iova, access }: Request,
  { outcome, physical, pageBytes, fault, why }: Translation,
): object {
  return {
    iova: hex(iova),
    access,
    outcome,
    physical: physical === null ? null : hex(physical),
    pageBytes,
    fault: fault === null ? null : jsonOfFault(fault),
    ...(why === '' ? {} : { why }),
  };
}

function printOne(session: Session, { seq }: HardwareView, request: Request, translation: Translation): void {
  const steps = translation.steps().map(({ at, index, word, says }) => ({
    at,
    index,
    word: word === null ? null : hexWord(word.value),
    unknown: (word?.unknown ?? []).map(({ mask, holds }) => ({ mask: hexWord(mask), holds })),
    says,
  }));
  if (session.json) {
    session.print(JSON.stringify({ seq, ...jsonOf(request, translation), steps }));
    return;
  }
  for (const { at, index, word, unknown, says } of steps) {
    const place = index === null ? at : `${at} [${index}]`;
    const open = unknown.map(({ holds }) => `, ${holds} unknown`).join('');
    session.print(`${place}: ${word === null ? '' : `${word} `}${says}${open}`);
  }
  printLine(session, request, translation);
}

function printLine(session: Session, request: Request, translation: Translation): void {
  if (session.json) {
    session.print(JSON.stringify(jsonOf(request, translation)));
    return;
  }
  const { outcome, physical, pageBytes, fault, why } = translation;
  const start = `${hex(request.iova)} ${request.access} ->`;
  if (fault !== null) session.print(`${start} fault ${hex(fault.code)}: ${fault.name}`);
  else if (physical !== null) session.print(`${start} ${hex(physical)} (page of ${hex(pageBytes)} bytes)`);
  else session.print(`${start} ${outcome === 'page' ? 'an unknown page' : 'unknown'}: ${why}`);
}
