/** The generations of the API that were proposed in 2020 and 2021: each is a profile name of its own. */
export const GENERATIONS = ['ioasid-v4', 'proposal-2021-05', 'proposal-2021-07', 'rfc-2021-09'] as const;

export type Generation = (typeof GENERATIONS)[number];

export function isGeneration(name: string | null): name is Generation {
  return (GENERATIONS as readonly (string | null)[]).includes(name);
}
