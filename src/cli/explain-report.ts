import {
  type ExplainedContext,
  type ExplainedObject,
  type Explanation,
  isPredicted,
  type TracedFinding,
} from '../../replay/index.ts';
import type { Effect, FactValue } from '../model/index.ts';
import { errnoName } from '../uapi/index.ts';
import { jsonOfCall } from './call-json.ts';
import { renderCall } from './call-text.ts';
import { errnoText } from './errno-text.ts';
import { linesOfChecks } from './explain-checks.ts';
import type { Session } from './session.ts';

/** Entries of a list of facts, and effects, that a person is shown; `--json` has more. */
const FACTS_SHOWN = 8;
const EFFECTS_SHOWN = 20;

/** Facts whose name in words is not the name itself. */
const FACT_NAMES: Readonly<Record<string, string>> = {
  alignmentBytes: 'alignment',
  pageTables: 'page tables',
  accessObjects: 'access objects',
  nestParent: 'nest parent',
  tracking: 'dirty tracking',
  virtualId: 'virtual id',
  hwQueues: 'HW queues',
  vdevices: 'vDEVICEs',
  veventqs: 'vEVENTQs',
  viommu: 'vIOMMU',
  vdevice: 'vDEVICE',
  hwpt: 'HWPT',
  ioas: 'IOAS',
  pasidCompatible: 'PASID flag',
  nested: 'nested HWPTs',
  viommus: 'vIOMMUs',
  parent: 'nest parent',
  fault: 'fault queue',
  unanswered: 'unanswered',
  reportedBy: 'reported by',
  window: 'window at',
  eventType: 'event type',
  lost: 'events lost',
  pinnedBy: 'pinned by',
  internal: 'of a HW queue',
  iommu: 'IOMMU',
  openedBy: 'opened by',
  descriptorsWithAccess: 'with access',
  bound: 'bound as',
  isOpen: 'open',
  boundByPath: 'bound by path',
  setTo: 'set to',
  dmaOwner: 'DMA owner',
  iommuType: 'IOMMU type',
  pageBytes: 'page',
};

/** Prints an explanation as a person reads it. */
export function printExplanation(session: Pick<Session, 'print' | 'colors'>, explanation: Explanation): void {
  const { bold, red } = session.colors;
  const { call, divergence } = explanation;
  session.print(`${bold(`seq ${call.seq}`)}  [${call.pid}] ${renderCall(call, explanation.profile)}`);
  const section = (title: string, lines: readonly string[]): void => {
    if (lines.length === 0) return;
    session.print(`\n${bold(title)}`);
    for (const line of lines) session.print(`  ${line}`);
  };
  section('before the call', linesBefore(explanation));
  section(`answer of ${explanation.profile}`, linesOfAnswer(explanation));
  section('what the state says', linesOfRefusal(explanation));
  section("checks in the kernel's order", linesOfChecks(explanation.checks));
  if (explanation.modelled) section('what changed', linesOfChange(explanation));
  if (divergence === null) return;
  const { field, recorded, predicted } = divergence;
  session.print(`\n${red('diverges')}: ${field} recorded ${recorded}, predicted ${predicted}`);
}

function linesBefore({ context, objects, vfio }: Explanation): string[] {
  const isAmbiguous = context !== null && context.count > 1;
  const lines = [
    ...vfio.flatMap(({ label, facts }) => [label, ...linesOfFacts(facts)]),
    ...objects.flatMap((object) => linesOfObject(object, isAmbiguous)),
  ];
  // A single context needs no name.
  return isAmbiguous ? [contextText(context), ...lines] : lines;
}

function contextText({ id, count, descriptors }: ExplainedContext): string {
  const names = descriptors.map(({ pid, fd }) => `${fd} of process ${pid}`).join(', ');
  const file = names === '' ? 'no descriptor left' : `descriptor ${names}`;
  return `context ${id}, one of ${count}: ${file}`;
}

function linesOfObject({ fields, id, context, object }: ExplainedObject, isAmbiguous: boolean): string[] {
  const name = fields.join(', ');
  const where = isAmbiguous ? ` in context ${context}` : '';
  if (object === null) return [`${name} ${id}: no such object${where}`];
  const { label, users, state, facts } = object;
  const head = `${name}: ${label}${where}, ${state === null ? '' : `${state}, `}${users} user${users === 1 ? '' : 's'}`;
  return [head, ...linesOfFacts(facts)];
}

function linesOfFacts(facts: Readonly<Record<string, FactValue>>): string[] {
  return Object.entries(facts).map(
    ([fact, value]) => `  ${(FACT_NAMES[fact] ?? fact).padEnd(15)} ${factText(fact, value)}`,
  );
}

function factText(fact: string, value: FactValue): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (typeof value !== 'object') return fact.endsWith('Bytes') ? bytesText(BigInt(value)) : String(value);
  if (value.length === 0) return fact === 'allowed' ? 'everything not reserved' : 'none';
  const hidden = value.length - FACTS_SHOWN;
  return `${value.slice(0, FACTS_SHOWN).join(', ')}${hidden > 0 ? ` and ${hidden} more` : ''}`;
}

function linesOfAnswer({ call, modelled, ret, errno, reason, profileExact }: Explanation): string[] {
  const caution = profileExact ? [] : ['WARNING: the kernel has no profile of its own: answers may differ'];
  if (!modelled) return [...caution, 'not modelled'];
  if (!isPredicted(call)) return [...caution, 'taken as recorded: an input of the model'];
  if (errno === 0) return [...caution, `succeeds with ${ret}`];
  const refused = `${ret} ${errnoText(errnoName(errno))}`;
  if (reason === null) return [...caution, refused];
  return [...caution, refused, `because ${reason.says}`, `reason ${reason.id}, in ${reason.source}`];
}

function linesOfRefusal({ refusal }: Explanation): string[] {
  if (refusal === null) return [];
  const { findings, passes, cause, cure } = refusal;
  return [
    ...findings.map(findingText),
    ...(passes === null ? [] : [`the check passes ${passes}`]),
    ...(cause === '' ? [] : [`usual cause: ${cause}`]),
    ...(cure === '' ? [] : [`usual cure: ${cure}`]),
  ];
}

/** `area 0x0-0xfff of IOAS 1 (mapped by call 12) overlaps 0x0-0x1fff`. */
function findingText({ what, origin, how, madeBy }: TracedFinding): string {
  const made = origin?.kind === 'area' ? 'mapped' : 'made';
  const by = madeBy === null ? '' : ` (${made} by call ${madeBy})`;
  return `${what}${by}${how === '' ? '' : ` ${how}`}`;
}

function linesOfChange({ context, changes, effects, effectCount }: Explanation): string[] {
  const isAmbiguous = context !== null && context.count > 1;
  const told = effects.flatMap((effect) =>
    effectText(effect).map((text) => (isAmbiguous ? `context ${effect.context}: ${text}` : text)),
  );
  const shown = told.slice(0, EFFECTS_SHOWN);
  // Effects that the changes tell already have no text; only those past the kept ones are unknown.
  const hidden = told.length - shown.length + effectCount - effects.length;
  const lines = [...changes, ...shown, ...(hidden > 0 ? [`and ${hidden} more effects`] : [])];
  return lines.length === 0 ? ['nothing'] : lines;
}

/** An effect in words; nothing for those that the changed objects tell. */
function effectText(effect: Effect): string[] {
  switch (effect.effect) {
    case 'contextOpened':
    case 'contextReleased':
    case 'objectCreated':
    case 'objectDestroyed':
      return [];
    case 'rangeMapped':
    case 'rangeUnmapped': {
      const { ioas, iova, iovaLast, lengthBytes } = effect;
      const what = effect.effect === 'rangeMapped' ? 'mapped' : 'unmapped';
      return [`IOAS ${ioas}: area ${hex(iova)}-${hex(iovaLast)} ${what}, ${bytesText(lengthBytes)}`];
    }
    case 'deviceAttached':
      return [`device ${effect.device} attached to HWPT ${effect.hwpt}${pasidText(effect.pasid)}`];
    case 'deviceDetached':
      return [`device ${effect.device} detached from HWPT ${effect.hwpt}${pasidText(effect.pasid)}`];
    case 'deviceReplaced':
      return [
        `device ${effect.device} moved from HWPT ${effect.from} to HWPT ${effect.to}${pasidText(effect.pasid)}`,
      ];
    case 'faultReported':
      return [`fault of device ${effect.device} reported to fault queue ${effect.queue}`];
    case 'pasidChanged': {
      const { what, pasid, scope, target } = effect.change;
      const device = target == null ? '' : `, device ${target.device}`;
      return [`PASID ${pasid} of ${scopeText(scope)}: ${what}${device}`];
    }
  }
}

const scopeText = (scope: string): string => (scope === 'system' ? 'the system' : scope);

function pasidText(pasid: number): string {
  return pasid === 0 ? '' : ` by PASID ${pasid}`;
}

function bytesText(bytes: bigint): string {
  return `${bytes} byte${bytes === 1n ? '' : 's'}`;
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}

/** An explanation as one JSON object; addresses and lengths are hex text, as in `show --json`. */
export function jsonOfExplanation({ call, errno, ...rest }: Explanation): string {
  const { modelled, ret, reason, context, objects, refusal, checks } = rest;
  const { vfio, changes, effects, effectCount, divergence } = rest;
  const why = reason === null ? null : { id: reason.id, says: reason.says, source: reason.source };
  const answer =
    modelled && isPredicted(call) ? { ret, errno: errno === 0 ? null : errnoName(errno), reason: why } : null;
  return JSON.stringify(
    {
      call: jsonOfCall(call, rest.profile),
      profile: rest.profile,
      profileExact: rest.profileExact,
      context,
      objects,
      vfio,
      modelled,
      answer,
      refusal,
      checks,
      changes,
      effects,
      effectCount,
      divergence,
    },
    (_, value: unknown) => (typeof value === 'bigint' ? hex(value) : value),
  );
}
