/** The command line. */
export const program = new URL('../../../src/cli/main.ts', import.meta.url)
