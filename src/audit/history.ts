import type { AuditRows } from '../../store/index.ts';
import {
  type Books,
  closeSpan,
  type Flush,
  type Space,
  type Tenure,
  writeEvent,
  writeTenure,
} from './books.ts';
import type { PasidCall, PasidEvent } from './event.ts';
import { createScopes, type Scope } from './scopes.ts';

/** Folds what happens to PASIDs into the rows of their history. */
export interface PasidHistory {
  apply(event: PasidEvent): void;
  /** A context is gone; whatever PASIDs it still holds nobody can free any more. */
  release(context: number, generation: string, call: PasidCall): void;
  /** Writes what is still open. Nothing may be applied afterwards. */
  finish(): void;
}

/** Begins an empty history. Memory is that of the PASIDs held, and of each number used once. */
export function createPasidHistory(rows: AuditRows): PasidHistory {
  const books: Books = {
    rows,
    scopes: createScopes(),
    spaces: new Map(),
    byContext: new Map(),
    tenures: 0,
    attachments: 0,
    events: 0,
  };
  return {
    apply: (event) => apply(books, event),
    release(context, generation, call) {
      for (const tenure of [...(books.byContext.get(`${generation} ${context}`) ?? [])]) {
        tenure.orphanSeq ??= call.seq;
        writeEvent(books, { ...tenure.event, call, target: null, flushes: false }, 'orphan', tenure);
      }
    },
    finish() {
      const open = [...books.spaces.values()].flatMap(({ live }) => [...live.values()]);
      for (const tenure of open.sort((a, b) => a.number - b.number)) {
        for (const span of tenure.spans.values()) closeSpan(books, tenure, span, null);
        writeTenure(books, tenure, null);
      }
      books.scopes.write(rows);
    },
  };
}

function apply(books: Books, event: PasidEvent): void {
  const space = spaceOf(books, event);
  const held = space.live.get(event.pasid);
  switch (event.what) {
    case 'alloc':
    case 'attach':
    case 'bind':
    case 'use':
      begin(books, space, held, event);
      return;
    case 'replace':
      if (held !== undefined) {
        held.flush = 'none';
        openSpan(books, held, event);
      }
      break;
    case 'detach':
    case 'unbind':
    case 'clear':
    case 'free':
      if (held === undefined) break;
      writeEvent(books, event, event.what, held);
      leave(books, held, event);
      return;
    case 'flush':
      noteFlush(space, held, event.pasid, event.flushes === true ? 'kernel' : 'asked');
      break;
    case 'fault':
      if (held !== undefined) held.faultsReported += 1;
      break;
    case 'fault-read':
      if (held !== undefined) held.faultsRead += 1;
      break;
    case 'kvm-map':
      if (held !== undefined) held.vpasid = event.vpasid ?? held.vpasid;
      break;
    case 'orphan':
      if (held !== undefined) held.orphanSeq ??= event.call.seq;
      break;
    case 'kvm-unmap':
    case 'free-pending':
    case 'stop':
    case 'invalidate':
    case 'drain':
    case 'flush-device':
    case 'fault-answer':
      break;
    case 'refuse':
      for (const scope of scopesOf(books, space, event)) scope.refused += 1;
      break;
  }
  writeEvent(books, event, event.what, held ?? null);
}

function spaceOf(books: Books, { space }: PasidEvent): Space {
  const scope = books.scopes.find(space.kind, space.name);
  scope.isSpace = true;
  scope.quota = space.quota ?? scope.quota;
  const known = books.spaces.get(scope);
  if (known !== undefined) return known;
  const made: Space = { scope, live: new Map(), left: new Map() };
  books.spaces.set(scope, made);
  return made;
}

/** Every scope that counts the PASID: its space, the system, the process, the set. */
function scopesOf(books: Books, space: Space, event: PasidEvent): Set<Scope> {
  const { scopes } = books;
  const all = new Set([scopes.find('system', ''), space.scope]);
  if (event.set != null) {
    const set = scopes.find('set', event.set);
    set.quota = event.setQuota ?? set.quota;
    all.add(set);
  }
  return all.add(scopes.find('process', String(event.holder ?? event.call.pid)));
}

function begin(books: Books, space: Space, held: Tenure | undefined, event: PasidEvent): void {
  // The guest's number, or a step of a driver, makes nobody a holder.
  if (held === undefined && (event.what === 'use' || (event.what === 'bind' && event.target === null))) {
    writeEvent(books, event, event.what, null);
    return;
  }
  const tenure = held ?? newTenure(books, space, event);
  if (event.what === 'alloc' && tenure.isAllocated) {
    // Two holders of one number: the first stays, and the event tells on the second.
    writeEvent(books, { ...event, reason: 'held-already' }, 'alloc', tenure);
    return;
  }
  if (event.what === 'alloc') tenure.isAllocated = true;
  else if (event.target !== null) tenure.flush = 'none';
  tenure.vpasid = event.vpasid ?? tenure.vpasid;
  writeEvent(books, event, event.what, tenure);
  if (event.target !== null) openSpan(books, tenure, event);
}

function newTenure(books: Books, space: Space, event: PasidEvent): Tenure {
  const { call, pasid, context, generation } = event;
  const scopes = scopesOf(books, space, event);
  const left = space.left.get(pasid);
  books.tenures += 1;
  const tenure: Tenure = {
    number: books.tenures,
    scopes,
    begin: {
      tenure: books.tenures,
      generation,
      scope: space.scope.number,
      set_scope: event.set == null ? null : books.scopes.find('set', event.set).number,
      pasid,
      context,
      pid: event.holder ?? call.pid,
      fd: call.fd,
      from_seq: call.seq,
      from_call: call.name,
      previous: left?.tenure ?? null,
      reuse_calls: left === undefined ? null : call.nth - left.nth,
      reuse_flush: left?.flush ?? null,
    },
    event,
    space,
    vpasid: null,
    isAllocated: false,
    orphanSeq: null,
    flush: null,
    faultsReported: 0,
    faultsRead: 0,
    spans: new Map(),
  };
  space.live.set(pasid, tenure);
  const key = `${generation} ${context}`;
  const mates = books.byContext.get(key);
  if (mates === undefined) books.byContext.set(key, new Set([tenure]));
  else mates.add(tenure);
  books.scopes.take(scopes, call.seq);
  return tenure;
}

function openSpan(books: Books, tenure: Tenure, { what, target, call }: PasidEvent): void {
  if (target === null) return;
  const before = tenure.spans.get(target.function);
  // A table bound to an address space, or a use, of what is attached already.
  if (before !== undefined && (what === 'bind' || what === 'use')) return;
  if (before !== undefined) closeSpan(books, tenure, before, call.seq);
  books.attachments += 1;
  const { pid, fd, seq } = call;
  tenure.spans.set(target.function, { number: books.attachments, target, pid, fd, fromSeq: seq, by: what });
}

/** The tenure ends when it is neither allocated nor attached: a free while attached waits for the detach. */
function leave(books: Books, tenure: Tenure, event: PasidEvent): void {
  const { call, target, what } = event;
  if (what === 'free') tenure.isAllocated = false;
  const span = target === null ? undefined : tenure.spans.get(target.function);
  if (span !== undefined && (what !== 'unbind' || span.by === 'bind'))
    closeSpan(books, tenure, span, call.seq);
  if (event.reclaims === true)
    for (const left of [...tenure.spans.values()]) closeSpan(books, tenure, left, call.seq);
  if (event.flushes === true && tenure.flush === 'none') tenure.flush = 'kernel';
  if (tenure.isAllocated || tenure.spans.size > 0) return;
  const { space, begin } = tenure;
  space.live.delete(begin.pasid);
  space.left.set(begin.pasid, { tenure: tenure.number, nth: call.nth, flush: tenure.flush });
  books.byContext.get(`${begin.generation} ${begin.context}`)?.delete(tenure);
  books.scopes.leave(tenure.scopes);
  writeTenure(books, tenure, call);
}

function noteFlush(space: Space, held: Tenure | undefined, pasid: number, flush: Flush): void {
  const left = space.left.get(pasid);
  if (held !== undefined) held.flush = held.flush === null ? null : flush;
  else if (left?.flush === 'none') left.flush = flush;
}
