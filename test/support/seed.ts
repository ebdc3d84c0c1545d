import fc from 'fast-check';

/** Each property without a seed of its own takes the one of this run; see print-seed.ts. */
fc.configureGlobal({ seed: Number(process.env['IOASIS_SEED']) });
