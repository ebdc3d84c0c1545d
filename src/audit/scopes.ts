import type { AuditRows } from '../../store/index.ts';
import type { PasidSpace } from './event.ts';

/** A scope while PASIDs come and go. */
export interface Scope {
  readonly number: number;
  readonly kind: PasidSpace['kind'];
  readonly name: string;
  isSpace: boolean;
  quota: number | null;
  tenures: number;
  held: number;
  highWater: number;
  highWaterSeq: number | null;
  refused: number;
}

/** The scopes of a history, numbered as they show up. */
export interface Scopes {
  find(kind: PasidSpace['kind'], name: string): Scope;
  /** One PASID more is held in each of them, after the call with that `seq`. */
  take(scopes: Iterable<Scope>, seq: number): void;
  /** One less. */
  leave(scopes: Iterable<Scope>): void;
  write(rows: AuditRows): void;
}

/** Number 1 is the whole system. */
export function createScopes(): Scopes {
  // By name within a kind: looked up at each event, so that no key is put together.
  const byKind = { system: new Map(), function: new Map(), set: new Map(), process: new Map() } as Readonly<
    Record<PasidSpace['kind'], Map<string, Scope>>
  >;
  const all: Scope[] = [];
  const find = (kind: PasidSpace['kind'], name: string): Scope => {
    const known = byKind[kind].get(name);
    if (known !== undefined) return known;
    const counts = { tenures: 0, held: 0, highWater: 0, highWaterSeq: null, refused: 0 };
    const scope: Scope = { number: all.length + 1, kind, name, isSpace: false, quota: null, ...counts };
    byKind[kind].set(name, scope);
    all.push(scope);
    return scope;
  };
  find('system', '');
  return {
    find,
    take(scopes, seq) {
      for (const scope of scopes) {
        scope.tenures += 1;
        scope.held += 1;
        if (scope.held <= scope.highWater) continue;
        scope.highWater = scope.held;
        scope.highWaterSeq = seq;
      }
    },
    leave(scopes) {
      for (const scope of scopes) scope.held -= 1;
    },
    write(rows) {
      for (const scope of all) {
        rows.scope({
          scope: scope.number,
          kind: scope.kind,
          name: scope.name,
          is_space: scope.isSpace ? 1 : 0,
          quota: scope.quota,
          tenures: scope.tenures,
          held: scope.held,
          high_water: scope.highWater,
          high_water_seq: scope.highWaterSeq,
          refused: scope.refused,
        });
      }
    },
  };
}
