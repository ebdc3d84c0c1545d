import {
  invalidateContext,
  invalidateDevice,
  invalidateStreamEntry,
  invalidateTag,
  prefetchConfig,
  type SmmuCommand,
  sync,
} from './smmu-commands.ts';
import { contextDescriptor } from './smmu-context-descriptor.ts';
import {
  type Driver,
  type DriverDomain,
  type DriverStream,
  EMPTY_ENTRY,
  emit,
  emitPossible,
  forcesWriteBack,
  idOf,
  type MemoryEntry,
} from './smmu-driver.ts';
import { CONTEXT_ENTRY, countWrites, type EntryKind, STREAM_ENTRY } from './smmu-entry-write.ts';
import {
  abortEntry,
  guestEntry,
  nestedEntry,
  type SmmuStream,
  type Stage2,
  stage1Entry,
  stage2Entry,
} from './smmu-stream-table.ts';
import { entry, maskOf } from './smmu-words.ts';
import type { Word } from './table-format.ts';

/** Attaching devices: arm_smmu_attach_dev and its kin, with the commands that they queue. */

const RID = 0;

export function attachPaging(
  driver: Driver,
  stream: DriverStream,
  domain: DriverDomain,
  pasid: number,
): void {
  if (pasid !== RID) {
    attachPasid(driver, stream, domain, pasid);
    return;
  }
  const old = take(stream, domain, RID);
  if (domain.facts.stage === 1) {
    writeContext(driver, stream, RID, contextOf(driver, domain), domain);
    writeEntry(driver, stream, stage1Entry(streamOf(driver, stream)), domain);
  } else {
    writeEntry(driver, stream, stage2Entry(streamOf(driver, stream), stage2Of(driver, domain)), domain);
    clearContext(driver, stream, RID);
  }
  flushDevice(driver, stream, RID);
  leave(driver, old);
}

/** arm_smmu_attach_dev_nested. The context descriptor of before stays in memory, unused. */
export function attachNested(
  driver: Driver,
  stream: DriverStream,
  parent: DriverDomain,
  data: Uint8Array,
): void {
  const old = take(stream, parent, RID);
  const words = nestedEntry(streamOf(driver, stream), stage2Of(driver, parent), guestEntry(data));
  writeEntry(driver, stream, words, parent);
  flushDevice(driver, stream, RID);
  leave(driver, old);
}

/** arm_smmu_attach_dev_blocked. */
export function attachBlocked(driver: Driver, stream: DriverStream): void {
  const old = take(stream, null, RID);
  writeEntry(driver, stream, abortEntry(), null);
  if (old !== null) flushDevice(driver, stream, RID);
  leave(driver, old);
  clearContext(driver, stream, RID);
}

/** arm_smmu_s1_set_dev_pasid. A device without substreams has no descriptor to write. */
function attachPasid(driver: Driver, stream: DriverStream, domain: DriverDomain, pasid: number): void {
  if (stream.substreamBits === 0 || domain.facts.stage !== 1) return;
  const old = take(stream, domain, pasid);
  writeContext(driver, stream, pasid, contextOf(driver, domain), domain);
  if (old !== null) flushDevice(driver, stream, pasid);
  leave(driver, old);
}

/** arm_smmu_blocking_set_dev_pasid. */
export function detachPasid(driver: Driver, stream: DriverStream, pasid: number): void {
  if (stream.substreamBits === 0) return;
  const old = take(stream, null, pasid);
  clearContext(driver, stream, pasid);
  flushDevice(driver, stream, pasid);
  leave(driver, old);
}

/**
 * arm_smmu_atc_inv_master: what a device with ATS keeps goes when its translation changes, and when ATS is
 * switched on or off (arm_smmu_attach_commit).
 */
function flushDevice(driver: Driver, { ats, streamId }: DriverStream, pasid: number): void {
  if (ats === true) emit(driver, invalidateDevice(streamId, pasid), sync());
}

/** The device joins a domain and is still a user of the one before. */
function take(stream: DriverStream, domain: DriverDomain | null, pasid: number): DriverDomain | null {
  const old = stream.domains.get(pasid) ?? null;
  if (domain === null) stream.domains.delete(pasid);
  else {
    domain.users += 1;
    stream.domains.set(pasid, domain);
  }
  return old;
}

/** The last user of a tag clears it: a tag that nobody invalidates must not be cached. */
function leave(driver: Driver, old: DriverDomain | null): void {
  if (old === null) return;
  old.users -= 1;
  if (old.users > 0) return;
  const { stage } = old.facts;
  emit(
    driver,
    invalidateTag(stage === 1 ? 'TLBI_NH_ASID' : 'TLBI_S12_VMALL', { stage, id: idOf(driver, old) }),
    sync(),
  );
}

export function streamOf({ features }: Driver, stream: DriverStream): SmmuStream {
  return { features, substreamBits: stream.substreamBits, ats: stream.ats };
}

function stage2Of(driver: Driver, domain: DriverDomain): Stage2 {
  return {
    geometry: domain.geometry,
    vmid: idOf(driver, domain),
    forcesWriteBack: forcesWriteBack(driver, domain.facts),
  };
}

function contextOf(driver: Driver, domain: DriverDomain): Word[] {
  return contextDescriptor({
    geometry: domain.geometry,
    coherent: driver.features.coherent,
    asid: idOf(driver, domain),
    tracksDirty: domain.facts.tracksDirty,
  });
}

/** arm_smmu_install_ste_for_dev. */
function writeEntry(
  driver: Driver,
  stream: DriverStream,
  words: readonly Word[],
  domain: DriverDomain | null,
): void {
  const target = { words, domain };
  const [sure, possible] = writesOf(driver, STREAM_ENTRY, stream.entryInMemory, target);
  emitWrites(driver, invalidateStreamEntry(stream.streamId), sure, possible);
  emit(driver, prefetchConfig(stream.streamId));
  stream.entryInMemory = target;
}

function writeContext(
  driver: Driver,
  stream: DriverStream,
  pasid: number,
  words: readonly Word[],
  domain: DriverDomain | null,
): void {
  const target = { words, domain };
  const current = stream.contexts.get(pasid) ?? EMPTY_ENTRY;
  const [sure, possible] = writesOf(driver, CONTEXT_ENTRY, current, target);
  emitWrites(driver, invalidateContext(stream.streamId, pasid), sure, possible);
  stream.contexts.set(pasid, target);
}

function clearContext(driver: Driver, stream: DriverStream, pasid: number): void {
  // Tables of descriptors are made by the first stage-1 domain, which is the kernel's own where there is one.
  if (driver.features.stage1) writeContext(driver, stream, pasid, entry(), null);
}

function emitWrites(driver: Driver, command: SmmuCommand, sure: number, possible: number): void {
  for (let write = 0; write < possible; write += 1) emitPossible(driver, command, sync());
  for (let write = 0; write < sure; write += 1) emit(driver, command, sync());
}

/**
 * Writes that a change takes for sure, and those that it may take besides: a domain that is gone may have
 * left its table's memory to the new one, whose address is then the same.
 */
function writesOf(
  driver: Driver,
  kind: EntryKind,
  current: MemoryEntry,
  target: MemoryEntry,
): [sure: number, possible: number] {
  const to = standIn(target.words, target.domain);
  const usual = countWrites(kind, standIn(current.words, current.domain), to);
  const { domain } = current;
  const isGone = domain !== null && domain.rank > 0 && driver.domains.get(domain.facts.key) !== domain;
  if (!isGone) return [usual, 0];
  const reused = countWrites(kind, standIn(current.words, target.domain), to);
  return [Math.min(usual, reused), Math.abs(usual - reused)];
}

/** Ids and addresses that the kernel chose differ between domains: their key stands for them. */
function standIn(words: readonly Word[], domain: DriverDomain | null): bigint[] {
  const key = domain?.facts.key ?? 0;
  // The kernel's own domains have keys below zero.
  const token = BigInt(key < 0 ? 0x4000 - key : key);
  return words.map(({ value, unknown }) => {
    const open = unknown.filter(({ holds }) => holds !== 'EATS' && holds !== 'S1ContextPtr');
    const mask = maskOf(open);
    return value | (mask & (token * (mask & -mask)));
  });
}
