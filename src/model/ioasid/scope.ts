import type { HwIdKind } from './names.ts';
import { SYSTEM } from './state.ts';

/**
 * Who numbers PASIDs, and how far a number reaches: a policy for each platform. Sources: mails under the
 * IOASID series V4 of 2021-05 (Pan, Raj, Gunthorpe, Gibson), proposal of 2021-05-27 section 4.
 */

export type PlatformName = 'vtd' | 'smmuv3' | 'amd' | 'power';

/** What is asked to have a PASID. */
export interface PasidUser {
  /** Address of the function that issues the requests: for a mediated device that of its parent. */
  readonly functionName: string;
  readonly isMediated: boolean;
  /** The function has shared work queues that ENQCMD submits to. */
  readonly isShared: boolean;
}

export type PasidScope =
  /** The host gives a number that is unique in `space`; the guest's own is translated. */
  | { readonly owner: 'host'; readonly space: string }
  /** The guest's number is the one on the wire, and the host is told of it. */
  | { readonly owner: 'guest-told'; readonly space: string }
  /** The table lives in the guest's memory: the host knows no single number. */
  | { readonly owner: 'guest-table'; readonly space: string }
  | { readonly owner: 'none' };

export interface ScopePolicy {
  readonly platform: PlatformName;
  /** What the number on the wire is; null where there is none. */
  readonly hwId: HwIdKind | null;
  scopeOf(user: PasidUser): PasidScope;
}

const NONE: PasidScope = { owner: 'none' };

/** Numbers of one function. */
export const functionSpace = (functionName: string): string => `function ${functionName}`;

/** Tables that the guest owns: mediated devices get none, as nobody gives away part of such a table. */
function guestOwned(platform: PlatformName, hwId: HwIdKind): ScopePolicy {
  return {
    platform,
    hwId,
    scopeOf: ({ functionName, isMediated }) =>
      isMediated ? NONE : { owner: 'guest-table', space: functionSpace(functionName) },
  };
}

export const SCOPE_POLICIES: Readonly<Record<PlatformName, ScopePolicy>> = {
  vtd: {
    platform: 'vtd',
    hwId: 'pasid',
    scopeOf: ({ functionName, isMediated, isShared }) => {
      // A whole function belongs to one guest: its numbers can be the guest's.
      if (!isMediated) return { owner: 'guest-told', space: functionSpace(functionName) };
      // The CPU's table is one per VM: a number has to mean the same on every parent that ENQCMD reaches.
      return { owner: 'host', space: isShared ? SYSTEM : functionSpace(functionName) };
    },
  },
  smmuv3: guestOwned('smmuv3', 'substream-id'),
  amd: guestOwned('amd', 'pasid'),
  // Address bits choose the window there, not a tag.
  power: { platform: 'power', hwId: null, scopeOf: () => NONE },
};
