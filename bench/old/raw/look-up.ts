import { readFileSync } from 'node:fs'
import { runLoop } from './loop.ts'
import { nextInTurn } from './new-strings.ts'

/** A look-up of each token in a Map: the least that it can cost to know a token again. */

const [, , file = ''] = process.argv.slice(2)
const tokens = readFileSync(file, 'latin1').split('\n')
const known = new Map(tokens.map((token) => [token, true]))
const next = nextInTurn(tokens)
/** A look at the clock costs a good part of a look-up. */
const timesEach = 100
await runLoop(() => known.get(next()), timesEach)
