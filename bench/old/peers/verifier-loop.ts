import { readFileSync } from 'node:fs'
import { runLoop } from '../raw/loop.ts'
import { nextInTurn } from '../raw/new-strings.ts'
import { createCheck, keepsTokens, type VerifierName } from './verifiers.ts'

/** One verification in this process, over and over, by one of the peers. */

const [, , given = '', trust = '{}', file = ''] = process.argv.slice(2)
const name = given as VerifierName
const check = createCheck(name, JSON.parse(trust))
const tokens = readFileSync(file, 'latin1').split('\n')
// Whoever keeps tokens has met all of them before the time counts.
if (keepsTokens(name)) for (const token of tokens) await check(token)
const next = nextInTurn(tokens)
/** A look at the clock costs a good part of a look-up, and little of a signature. */
const timesEach = keepsTokens(name) ? 100 : 1
await runLoop(() => check(next()), timesEach)
