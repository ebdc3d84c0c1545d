import { type Command, Option } from 'commander';
import {
  type AccessRequest,
  deviceNamed,
  type Entry,
  type Geometry,
  type IotlbProjection,
  type IotlbStep,
  lookAtIotlb,
} from '../../../replay/index.ts';
import { UsageError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import {
  addPointOptions,
  type PointFlags,
  parseAddress,
  parseGeometryOption,
  pointOf,
} from '../hardware-point.ts';
import {
  differenceText,
  jsonOfAnswer,
  jsonOfDifference,
  jsonOfEntry,
  jsonOfFault,
  jsonOfInvalidation,
  jsonOfPageRequest,
  jsonOfSlot,
  printIotlb,
  printSlots,
  printStep,
} from '../iotlb-report.ts';
import { addExamples, parseInteger } from '../options.ts';
import type { Runner, Session } from '../session.ts';
import { type Target, withTarget } from '../target.ts';

interface IotlbFlags extends PointFlags {
  readonly device?: string;
  readonly pasid?: number;
  readonly iova: readonly bigint[];
  readonly access: 'r' | 'w' | 'x';
  readonly iotlb?: Geometry;
  readonly stale?: boolean;
  readonly steps?: boolean;
}

/** `ioasis iotlb`: what the caches of the IOMMUs hold, and what of it is no longer true. */
export function registerIotlb(program: Command, run: Runner): void {
  const command = addPointOptions(
    program
      .command('iotlb')
      .description('show what IOTLBs, paging-structure caches and device TLBs hold at a point of a trace')
      .argument('<trace>', 'name of a trace, or a capture file; - for standard input'),
  )
    .option('--device <device>', 'only what this device filled: 0000:00:02.0, 00:02.0 or vfio0')
    .option('--pasid <pasid>', 'with --device: of this PASID', parseInteger)
    .option(
      '--iova <address>',
      'with --device: first make an access to this address; may be given several times',
      (text, before: readonly bigint[]) => [...before, parseAddress(text)],
      [],
    )
    .addOption(
      new Option('--access <access>', 'what the access of --iova does').choices(['r', 'w', 'x']).default('r'),
    )
    .option(
      '--iotlb <geometry>',
      'size of the caches, such as sets=64,ways=8; unbounded otherwise',
      parseGeometryOption,
    )
    .option('--stale', 'only entries that a walk would no longer give')
    .option('--steps', 'also what each record invalidated, filled and left stale on the way');
  addExamples(command, [
    ['ioasis iotlb run.jsonl.gz --at 57', 'every entry that hardware may hold after call 57'],
    [
      'ioasis iotlb run --marker unmapped --device 00:02.0 --iova 0x1000',
      'whether a device still reaches an address, and by which entry',
    ],
    ['ioasis iotlb run --stale --json', 'stale entries at the end; exit code 1 when there are any'],
    ['ioasis iotlb run --steps', 'each invalidation: kind, granularity, range, and whose it is'],
  ]);
  command.action((name: string, flags: IotlbFlags) =>
    run(command, (session) => withTarget(session, name, (target) => show(session, target, flags))),
  );
}

function show(session: Session, target: Target, flags: IotlbFlags): ExitCode {
  const { device, pasid, iova } = flags;
  if (device === undefined && (pasid !== undefined || iova.length > 0))
    throw new UsageError('--pasid and --iova need --device');
  const steps: IotlbStep[] = [];
  const view = lookAtIotlb(target.store, target.trace, pointOf(target, flags, false), {
    kernel: flags.kernel ?? null,
    geometry: flags.iotlb ?? null,
    accesses: (projection) => requests(projection, target, flags),
    ...(flags.steps === true ? { onStep: (step) => take(session, steps, step) } : {}),
  });
  const index = device === undefined ? null : deviceOf(view.projection, target, device);
  const isWanted = (entry: Entry): boolean =>
    (index === null || entry.device === index) &&
    (pasid === undefined || entry.pasid === pasid) &&
    (flags.stale !== true || entry.stale !== null);
  const entries = (view.answers.length > 0 ? view.projection.entries() : view.entries).filter(isWanted);
  const slots = view.projection
    .slots()
    .filter(
      (slot) =>
        (index === null || slot.device === index) &&
        (pasid === undefined || slot.pasid === pasid) &&
        (flags.stale !== true || slot.stale !== null),
    );
  const { machine } = view.projection.state.kernel;
  if (session.json) {
    const json = {
      seq: view.seq,
      ...(flags.steps === true ? { steps: steps.map((step) => jsonOfStep(step, machine)) } : {}),
      ...(iova.length > 0 ? { accesses: view.answers.map((answer) => jsonOfAnswer(answer, machine)) } : {}),
      entries: entries.map((entry) => jsonOfEntry(entry, machine)),
      slots: slots.map((slot) => jsonOfSlot(slot, machine)),
      differences: view.differences.map(jsonOfDifference),
    };
    session.print(JSON.stringify(json));
  } else {
    printIotlb(session, view.seq, entries, view.answers, machine);
    printSlots(session, slots, machine);
    for (const difference of view.differences) session.print(differenceText(difference));
  }
  const isStale = [...entries, ...slots].some(({ stale }) => stale !== null);
  return isStale || view.differences.length > 0 ? EXIT.finding : EXIT.clean;
}

/** People read steps as they come; a program gets them all in one object. */
function take(session: Session, steps: IotlbStep[], step: IotlbStep): void {
  if (session.json) steps.push(step);
  else printStep(session, step);
}

function* requests(
  projection: IotlbProjection,
  target: Target,
  { device, pasid = 0, iova, access }: IotlbFlags,
): Generator<AccessRequest> {
  if (device === undefined || iova.length === 0) return;
  const index = deviceOf(projection, target, device);
  for (const address of iova) yield { device: index, pasid, page: Number(address >> 12n), access };
}

function deviceOf({ state }: IotlbProjection, { label }: Target, device: string): number {
  const index = deviceNamed(state.kernel, device);
  if (index === null) throw new UsageError(`${label}: the machine of the trace has no device ${device}`);
  return index;
}

type Machine = IotlbProjection['state']['kernel']['machine'];

function jsonOfStep(step: IotlbStep, machine: Machine): object {
  const { seq, invalidations, accesses, becameStale, forgotten, faults } = step;
  return {
    seq,
    invalidations: invalidations.map((invalidation) => jsonOfInvalidation(invalidation, machine)),
    accesses: accesses.map((answer) => jsonOfAnswer(answer, machine)),
    becameStale: becameStale.map((entry) => jsonOfEntry(entry, machine)),
    forgotten: forgotten.map((entry) => jsonOfEntry(entry, machine)),
    faults: faults.map((fault) => jsonOfFault(fault, machine)),
    differences: step.differences.map(jsonOfDifference),
    staleSlots: step.staleSlots.map((slot) => jsonOfSlot(slot, machine)),
    pageRequests: step.pageRequests.map(jsonOfPageRequest),
    pageResponses: step.pageResponses.map(({ cookie, code, requests }) => ({
      cookie,
      code,
      requests: requests.map(jsonOfPageRequest),
    })),
  };
}
