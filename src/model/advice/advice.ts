/** What usually leads to a refusal, and what usually helps: one plain sentence each. */
export interface Advice {
  readonly cause: string;
  readonly cure: string;
}

/** Usual cause and usual cure, by the id of the reason. */
export type AdviceTable = Readonly<Record<string, readonly [cause: string, cure: string]>>;
