import type {
  AreaDifference,
  CacheDifference,
  CallDifference,
  CallEffect,
  HardwareDifference,
  Meaning,
  TraceDiff,
} from '../../replay/index.ts';
import { renderCall } from './call-text.ts';
import type { DiffTarget } from './diff-target.ts';
import type { Session } from './session.ts';
import { jsonOf } from './state-report.ts';

/** The comparison of two traces as text. */

/** Differing calls that are listed; `--json` has up to a thousand. */
const CALLS_LISTED = 20;

export function printDiff(
  session: Session,
  a: DiffTarget,
  b: DiffTarget,
  diff: TraceDiff,
  context: number,
): void {
  const { bold } = session.colors;
  if (diff.isEqual) {
    session.print(`${a.label} and ${b.label}: equal (${count(diff.equalCalls, 'call')} compared)`);
    return;
  }
  const [first] = diff.calls;
  if (first !== undefined) {
    session.print(bold('First call that differs'));
    printFirst(session, a, b, first, diff, context);
  }
  if (diff.callCount > 1) {
    session.print(bold('Calls'));
    for (const each of diff.calls.slice(0, CALLS_LISTED)) session.print(`  ${differenceText(each)}`);
    if (diff.callCount > CALLS_LISTED) session.print(`  … ${diff.callCount - CALLS_LISTED} more`);
  }
  printState(session, diff);
  printHardware(session, diff.hardware);
  printCaches(session, diff.caches);
  session.print(bold('Summary'));
  session.print(`  ${summary(diff)}`);
}

function printFirst(
  session: Session,
  a: DiffTarget,
  b: DiffTarget,
  { a: one, b: other, fields }: CallDifference,
  { first, equalCalls, callCount }: TraceDiff,
  context: number,
): void {
  const { red, green, dim } = session.colors;
  printSide(session, 'A', a, one, context, red, dim);
  printSide(session, 'B', b, other, context, green, dim);
  for (const { name, a: had, b: has } of fields) session.print(`  ${name}: ${had} in A, ${has} in B`);
  for (const [name, each] of [
    ['A', one],
    ['B', other],
  ] as const)
    if (each !== null && each.why !== '') session.print(`  ${name} is refused because ${each.why}`);
  for (const [name, effect] of [
    ['A', first?.a ?? null],
    ['B', first?.b ?? null],
  ] as const)
    if (effect !== null) session.print(`  ${name}: ${effectText(effect)}`);
  if (one === null || other === null) {
    const [has, lacks] = one === null ? ['B', 'A'] : ['A', 'B'];
    session.print(`  ${lacks} has no such call here, ${has} has`);
  }
  if (callCount > 0) session.print(`  ${count(equalCalls, 'call')} in all are equal`);
}

function printSide(
  session: Session,
  name: string,
  { store, trace }: DiffTarget,
  call: Meaning | null,
  context: number,
  color: (text: string) => string,
  dim: (text: string) => string,
): void {
  if (call === null) return;
  const range = { fromSeq: Math.max(0, call.seq - 16 * (context + 1)), toSeq: call.seq + 16 * (context + 1) };
  const calls = [...store.readCallsExact(trace.id, range)];
  const at = calls.findIndex(({ seq }) => seq === call.seq);
  for (const each of calls.slice(Math.max(0, at - context), at + context + 1)) {
    const text = `${name} ${each.seq}  ${renderCall(each)}`;
    session.print(`  ${each.seq === call.seq ? color(text) : dim(text)}`);
  }
}

function effectText({ happened, changedHardware, reached }: CallEffect): string {
  const what = happened.length === 0 ? 'changes nothing' : happened.join(', ');
  if (!changedHardware) return `${what}; what the hardware holds stays as it is`;
  const devices = reached.length === 0 ? '' : `, for ${reached.join(', ')}`;
  return `${what}; the hardware holds something else then${devices}`;
}

function differenceText({ a, b, fields }: CallDifference): string {
  if (a === null) return `only in B: ${b!.seq} ${b!.name}${briefly(b!)}`;
  if (b === null) return `only in A: ${a.seq} ${a.name}${briefly(a)}`;
  const what = fields.map(({ name, a: had, b: has }) => `${name} ${had} | ${has}`);
  return `A ${a.seq}, B ${b.seq} ${a.name}: ${what.join('; ')}`;
}

const BRIEF_FIELDS: ReadonlySet<string> = new Set(['path', 'on', 'iova', 'length', 'size', 'answer']);

function briefly({ fields }: Meaning): string {
  return fields
    .filter(({ name }) => BRIEF_FIELDS.has(name))
    .map(({ name, text }) => ` ${name}=${text}`)
    .join('');
}

function printState(session: Session, { state }: TraceDiff): void {
  if (state.differences.length + state.areas.length === 0) return;
  session.print(session.colors.bold('State at the end'));
  for (const { about, a, b } of state.differences) {
    if (a === null) session.print(`  only in B: ${about}${b === 'there' ? '' : ` ${b}`}`);
    else if (b === null) session.print(`  only in A: ${about}${a === 'there' ? '' : ` ${a}`}`);
    else session.print(`  ${about}: ${a} in A, ${b} in B`);
  }
  for (const { about, ...areas } of state.areas) printAreas(session, about, areas);
}

function printAreas(session: Session, about: string, areas: AreaDifference): void {
  printList(session, about, areas, 'area');
}

function printList(
  session: Session,
  about: string,
  { onlyA, onlyB, countA, countB }: AreaDifference,
  one: string,
  more = `${one}s`,
): void {
  const only = (many: number, side: string): string => `${count(many, one, more)} only in ${side}`;
  session.print(`  ${about}: ${only(countA, 'A')}, ${only(countB, 'B')}`);
  for (const text of onlyA) session.print(`    A ${text}`);
  if (countA > onlyA.length) session.print(`    A … ${countA - onlyA.length} more`);
  for (const text of onlyB) session.print(`    B ${text}`);
  if (countB > onlyB.length) session.print(`    B … ${countB - onlyB.length} more`);
}

function printHardware(session: Session, hardware: readonly HardwareDifference[]): void {
  if (hardware.length === 0) return;
  session.print(session.colors.bold('Hardware at the end'));
  for (const { device, pasid, a, b, areas } of hardware) {
    const name = `${device}${pasidOf(pasid)}`;
    if (a !== b) session.print(`  ${name}: ${a ?? 'no entry'} in A, ${b ?? 'no entry'} in B`);
    if (areas !== null) printAreas(session, `${name} translates otherwise`, areas);
  }
}

const CACHES: Readonly<Record<CacheDifference['cache'], string>> = {
  iotlb: 'IOTLB',
  'device-tlb': 'TLB in the device',
};

function printCaches(session: Session, caches: readonly CacheDifference[]): void {
  if (caches.length === 0) return;
  session.print(session.colors.bold('Caches at the end'));
  for (const { device, pasid, cache, ...entries } of caches)
    printList(session, `${CACHES[cache]}, filled by ${device}${pasidOf(pasid)}`, entries, 'entry', 'entries');
}

function pasidOf(pasid: number): string {
  return pasid === 0 ? '' : `, PASID ${pasid}`;
}

function summary({ callCount, equalCalls, state, hardware, caches }: TraceDiff): string {
  const parts = [
    `${count(callCount, 'call')} ${callCount === 1 ? 'differs' : 'differ'}, ${equalCalls} equal`,
    `${count(state.differences.length + state.areas.length, 'difference')} of the state at the end`,
    `${count(hardware.length, 'entry', 'entries')} of the hardware at the end`,
    ...(caches.length === 0 ? [] : [`${count(caches.length, 'cache')} at the end`]),
  ];
  return parts.join('; ');
}

function count(many: number, one: string, more = `${one}s`): string {
  return `${many} ${many === 1 ? one : more}`;
}

/** The comparison as one JSON object: at most a thousand of the calls that differ. */
export function jsonOfDiff({ isEqual, equalCalls, callCount, calls, ...rest }: TraceDiff): string {
  const side = (call: Meaning | null) =>
    call === null
      ? null
      : {
          seq: call.seq,
          call: call.name,
          ...(call.why === '' ? {} : { refused: call.why }),
          fields: plain(call),
        };
  const told = calls.map(({ a, b, fields }) => ({ a: side(a), b: side(b), differs: fields }));
  return jsonOf({ equal: isEqual, equalCalls, differingCalls: callCount, calls: told, ...rest });
}

function plain({ fields }: Meaning): Record<string, string> {
  return Object.fromEntries(fields.map(({ name, text, label }) => [name, label ?? text]));
}
