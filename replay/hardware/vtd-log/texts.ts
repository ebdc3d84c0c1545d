import type { Invalidation } from '../iotlb/invalidation.ts';
import { type LoggedDeviceFlush, type LoggedFlush, sidText } from './parse.ts';

/** Invalidations for people: those of a log, and those that are expected. */

const hex = (value: number): string => `0x${value.toString(16)}`;
const address = (page: number): string => `0x${(BigInt(page) << 12n).toString(16)}`;

export function loggedText(logged: LoggedFlush | LoggedDeviceFlush): string {
  if (logged.event === 'device-tlb') return deviceText(logged.sid, logged.page, logged.order);
  if (logged.event === 'iotlb-domain') return `IOTLB, domain ${hex(logged.did)}, everything`;
  if (logged.event === 'pasid') return `PASID cache, domain ${hex(logged.did)}, PASID ${logged.pasid}`;
  if (logged.event === 'piotlb') return `IOTLB, domain ${hex(logged.did)}, PASID ${logged.pasid}, everything`;
  const hint = logged.leafOnly === true ? ', leaves only' : '';
  return `IOTLB, domain ${hex(logged.did)}, 2^${logged.order} pages at ${address(logged.page)}${hint}`;
}

function deviceText(sid: number, page: number, order: number): string {
  const pages = order >= 52 ? 'everything' : `2^${order} pages at ${address(page)}`;
  return `device TLB of ${sidText(sid)}, ${pages}`;
}

export function expectedText({
  granularity,
  tag,
  firstPage,
  lastPage,
  leafOnly,
  certainty,
  ...rest
}: Invalidation): string {
  const { changedFirst, changedLast, cache, pasid } = rest;
  if (cache === 'pasid') return `PASID cache, ${tag}, PASID ${pasid}`;
  if (cache === 'device-tlb') {
    const pages = granularity === 'pages' ? `${address(firstPage)}..${address(lastPage + 1)}` : 'everything';
    return `device TLB of device ${rest.device}, ${pages}`;
  }
  if (granularity !== 'pages') return `IOTLB, ${tag}, everything`;
  const hint = leafOnly === true ? ', leaves only' : '';
  const [first, last] = certainty === 'sure' ? [firstPage, lastPage] : [changedFirst, changedLast];
  const pieces = certainty === 'split' ? ', in pieces' : '';
  return `IOTLB, ${tag}, ${address(first)}..${address(last + 1)}${pieces}${hint}`;
}
