import { describe, expect, test } from 'vitest';
import {
  type GuestPasid,
  guestPasid,
  type HostPasid,
  hostPasid,
  type IoasId,
  ioasId,
} from '../../../src/model/ioasid/index.ts';

describe('the three name spaces', () => {
  test('are kept apart by the compiler: one number is not another', () => {
    const takesHost = (pasid: HostPasid): number => pasid;
    const takesGuest = (pasid: GuestPasid): number => pasid;
    const takesIoas = (id: IoasId): number => id;
    // @ts-expect-error a guest's PASID is none of the host
    expect(takesHost(guestPasid(5))).toBe(5);
    // @ts-expect-error an address space's number is no PASID
    expect(takesGuest(ioasId(5))).toBe(5);
    // @ts-expect-error a host's PASID is no address space's number
    expect(takesIoas(hostPasid(5))).toBe(5);
    // @ts-expect-error a plain number is none of them
    expect(takesIoas(5)).toBe(5);
  });
});
