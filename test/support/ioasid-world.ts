import {
  allocIoasid,
  allocSet,
  type CoreCall,
  createIoasidCore,
  IOASID_STATE,
  isRefused,
  type Notification,
  SYSTEM,
} from '../../src/model/ioasid/index.ts';

/** A PASID core for tests, and who calls it. */

export const MM = 7;
export const NULL_SET = 1;
export const MM_SET = 2;
export const MAX = 0xfffff;

export interface World extends CoreCall {
  readonly told: Notification[];
  as(mm: number): CoreCall;
}

export function world(): World {
  const core = createIoasidCore();
  const told: Notification[] = [];
  const tell = (notification: Notification): void => {
    told.push(notification);
  };
  return { core, mm: MM, tell, told, as: (mm) => ({ core, mm, tell }) };
}

/** The id of a refusal, or the value itself. */
export const idOf = (answer: unknown): unknown => (isRefused(answer) ? answer.id : answer);

export function mmSet(call: CoreCall, quota = 10): number {
  return allocSet(call.core, MM, quota, MM_SET) as number;
}

export const alloc = (call: CoreCall, set: number, min = 1, max = MAX): number =>
  allocIoasid(call, set, min, max) as number;

export const stateOf = ({ core }: CoreCall, id: number): string | undefined => {
  const ioasid = core.spaces[SYSTEM]?.ids[id];
  return ioasid && (IOASID_STATE as Record<number, string>)[ioasid.lifecycle];
};
