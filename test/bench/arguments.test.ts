import t from 'tap'
import { readArguments } from '../../bench/old/arguments.ts'
import { scenarios } from '../../bench/old/scenarios/index.ts'
import { readSurgeArguments } from '../../bench/old/surge/command.ts'

const namesOf = (...args: string[]) => readArguments(args).chosen.map(({ name }) => name)

t.test('a scenario has a name of its own', async (t) => {
  t.equal(new Set(scenarios.map(({ name }) => name)).size, scenarios.length)
})

t.test('the name of a family stands for all of it, and each is run once', async (t) => {
  const peers = namesOf('peers')
  t.ok(peers.length > 5)
  t.ok(peers.every((name) => name.startsWith('peers-')))
  t.same(namesOf('peers', 'peers-login'), peers)
})

t.test('a scenario is not taken for a family of the same name', async (t) => {
  t.same(namesOf('refresh'), ['refresh'])
})

t.test('what is not known is refused', async (t) => {
  t.throws(() => readArguments([]), /Name a scenario/)
  t.throws(() => readArguments(['nothing']), /no scenario nothing/)
  t.throws(() => readArguments(['jwks', '--rounds', '0']), /positive whole number/)
})

t.test('what shows less than a whole surge is not for a document', async (t) => {
  t.equal(readSurgeArguments(['--document']).intoDocument, true)
  for (const less of ['--quick', '--systems=gatepass', '--fault=impatient']) {
    t.throws(() => readSurgeArguments(['--document', less]), /Only a whole and honest run/)
  }
  t.throws(() => readSurgeArguments(['--systems=nothing']), /no system nothing/)
})
