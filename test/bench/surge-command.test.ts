import t from 'tap'
import { readSurgeArguments } from '../../bench/old/surge/command.ts'
import { faults, sizeOf } from '../../bench/old/surge/options.ts'
import { systems } from '../../bench/old/surge/systems/index.ts'

const namesOf = (...args: string[]) => readSurgeArguments(args).only.map(({ name }) => name)

t.test('all systems go through it, Gatepass first, or those that are named', async (t) => {
  t.same(
    namesOf(),
    systems.map(({ name }) => name),
  )
  t.equal(namesOf()[0], 'gatepass')
  t.same(namesOf('--systems', 'fastify-jwt,gatepass'), ['gatepass', 'fastify-jwt'])
  t.match(readSurgeArguments(['--quick']), { isQuick: true, fault: null })
})

t.test('what is not known is refused, and said how it is used', async (t) => {
  t.throws(() => namesOf('--systems', 'gatepass,nothing'), /no system nothing.*--systems/s)
  t.throws(() => namesOf('--fault', 'toString'), /no fault toString.*no-grace/s)
  t.throws(() => namesOf('--slow'), /--slow.*--quick/s)
})

t.test('a fault is in the result, and what is broken is not what is measured', async (t) => {
  const names = Object.keys(faults) as (keyof typeof faults)[]
  for (const fault of names) t.equal(sizeOf(true, fault).options.fault, fault)
  t.equal(sizeOf(false, null).options.fault, null)
  t.ok(sizeOf(true, null).script.endMs < 25_000)
  t.ok(sizeOf(false, null).script.endMs >= 60_000)
})
