import type { Call } from '../call.ts';
import type { NamedNumber } from '../partial.ts';
import type { Link, Place, Resource } from './resource.ts';
import { type Site, type SiteRole, sitesOf } from './site.ts';
import { linkTo, newResource, type World } from './world.ts';

/**
 * Numbers that a program names (`r3`) instead of telling them: who gives them and who uses them is known,
 * which numbers they are is not.
 */

/** Adds the links of a call whose numbers have names to those that its bytes tell. */
export function linksOfNames(
  world: World,
  call: Call,
  known: { readonly uses: readonly Link[]; readonly gives: readonly Link[] },
): { readonly uses: readonly Link[]; readonly gives: readonly Link[] } {
  const partial = 'partial' in call ? call.partial : undefined;
  if (partial?.defines === undefined && partial?.uses === undefined) return known;
  const uses = [...known.uses];
  const gives = [...known.gives];
  for (const named of partial.uses ?? []) {
    const resource = world.named.get(named.name);
    if (resource !== undefined) uses.push(linkTo(resource, placeOf(call, named)));
  }
  for (const named of partial.defines ?? []) {
    const place = placeOf(call, named);
    const given = gives.find((link) => link.place.at === place.at && place.at === 'ret');
    const resource = given?.resource ?? newNamed(world, call, place);
    world.named.set(named.name, resource);
    if (given === undefined) gives.push(linkTo(resource, place));
  }
  return { uses, gives };
}

function placeOf(call: Call, { in: where, at, bytes }: NamedNumber): Place {
  if (where !== 'arg') return { at: where };
  const sites = call.op === 'ioctl' ? sitesOf(call) : [];
  return { at: 'struct', site: sites.find(({ offset }) => offset === at) ?? unknownSite(at, bytes) };
}

function unknownSite(offset: number, bytes: number): Site {
  const width = bytes === 8 ? 8 : 4;
  return {
    role: 'object',
    field: '?',
    offset,
    bytes: width,
    dir: 'inout',
    refers: 'object',
    mayBeKnown: false,
  };
}

const TYPES: Readonly<Record<SiteRole, Resource['type']>> = {
  object: 'object',
  descriptor: 'descriptor',
  'access-pages': 'access-pages',
  address: 'memory',
  iova: 'iova',
};

function newNamed(world: World, call: Call, place: Place): Resource {
  if (place.at !== 'struct') return newResource(world, 'descriptor', '?', 0n, call.seq);
  const { role, refers, field } = place.site;
  const kind = role === 'descriptor' ? field.replace(/^out_|_fd$/g, '') : refers === 'pt' ? 'hwpt' : refers;
  return newResource(world, TYPES[role], kind, 0n, call.seq);
}
