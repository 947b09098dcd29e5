import { EventEmitter } from 'node:events'
import { mock } from 'node:test'
import t from 'tap'
import {
  Fleet,
  FleetLink,
  type FleetMessage,
  type FleetRequest,
} from '../../src/cli/dev/replica-processes.ts'
import type { Child } from '../../src/cli/dev/service-process.ts'
import { GatepassError } from '../../src/core/errors.ts'
import type { ReplicaKind } from '../../src/playground/api.ts'

/** A process that starts and ends when the test says so. */
class FakeChild {
  readonly #ready = Promise.withResolvers<number>()
  readonly #exited = Promise.withResolvers<number>()
  readonly ready = this.#ready.promise
  readonly exited = this.#exited.promise
  /** What was done to it. */
  readonly done: string[] = []

  starts(port: number): void {
    this.#ready.resolve(port)
  }

  ends(code: number): void {
    this.#ready.reject(new GatepassError('internal_error'))
    this.#exited.resolve(code)
  }

  stop(): void {
    this.done.push('stop')
    this.ends(0)
  }

  kill(): void {
    this.done.push('kill')
    this.ends(1)
  }
}

/** A fleet, and the issuer's end of the line to it. */
function startFleet(kinds: readonly ReplicaKind[] = ['verifier', 'shop']) {
  const children = new Map<string, FakeChild>()
  const lost: string[] = []
  const child = new EventEmitter()
  const fleet = new Fleet({
    kinds,
    start: (_kind, name) => {
      const started = new FakeChild()
      children.set(name, started)
      return started as unknown as Child
    },
    tell: (message: FleetMessage) => child.emit('message', message),
    onLost: (name, code) => lost.push(`${name} ${code}`),
  })
  t.teardown(() => fleet.end())
  const send = (message: FleetRequest) => {
    fleet.receive(message)
    return true
  }
  const link = new FleetLink(Object.assign(child, { send }) as unknown as NodeJS.Process)
  const childOf = (name: string) => children.get(name) ?? t.fail(`no ${name}`)
  return { fleet, link, lost, children, childOf: childOf as (name: string) => FakeChild }
}

t.test('one that is added is there at once, and takes requests when it is ready', async (t) => {
  const { link, childOf } = startFleet()
  const added = link.add('verifier')
  t.same(link.list(), [{ name: 'verifier-1', kind: 'verifier', port: null }])
  childOf('verifier-1').starts(4100)
  t.equal(await added, 'verifier-1')
  t.same(link.list(), [{ name: 'verifier-1', kind: 'verifier', port: 4100 }])
})

t.test('one that is stopped is killed, takes no more, and is nobody’s loss', async (t) => {
  const { link, childOf, lost } = startFleet()
  const added = link.add('verifier')
  childOf('verifier-1').starts(4100)
  await added
  await link.stop('verifier-1')
  t.same(childOf('verifier-1').done, ['kill'])
  t.same(link.list(), [])
  t.same(lost, [])
  await t.rejects(link.stop('verifier-1'), { code: 'replica_not_found' })
  const next = link.add('verifier')
  childOf('verifier-2').starts(4101)
  t.equal(await next, 'verifier-2', 'no name comes twice')
})

t.test('one that ends by itself is told of', async (t) => {
  const { link, childOf, lost } = startFleet()
  const added = link.add('shop')
  childOf('shop-1').starts(4300)
  await added
  childOf('shop-1').ends(3)
  await childOf('shop-1').exited
  t.same(link.list(), [])
  t.same(lost, ['shop-1 3'])
})

t.test('one that does not start is an error, and makes room', async (t) => {
  const { link, childOf } = startFleet()
  const added = link.add('shop')
  childOf('shop-1').ends(1)
  await t.rejects(added, { code: 'internal_error' })
  t.same(link.list(), [])
})

t.test('one that never gets ready is given up', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const { link, childOf } = startFleet()
  const added = link.add('shop')
  mock.timers.tick(59_999)
  t.same(childOf('shop-1').done, [])
  mock.timers.tick(1)
  await t.rejects(added, { code: 'internal_error' })
  t.match(childOf('shop-1').done, ['kill'])
})

t.test('there are eight at most', async (t) => {
  const { link, children } = startFleet()
  const names = Array.from({ length: 8 }, () => link.add('verifier'))
  for (const child of children.values()) child.starts(4100)
  await Promise.all(names)
  await t.rejects(link.add('shop'), { code: 'replicas_exceeded' })
  await link.stop('verifier-3')
  const again = link.add('shop')
  children.get('shop-1')?.starts(4300)
  t.equal(await again, 'shop-1')
})

t.test('the shop starts when the page is first looked at, and once', async (t) => {
  const { link, children } = startFleet()
  link.open()
  link.open()
  t.same([...children.keys()], ['shop-1', 'shop-2'])
  const other = startFleet(['verifier'])
  other.link.open()
  t.equal(other.children.size, 0, 'where there is no shop, nothing starts')
})

t.test(
  'at the end all are asked to stop, those that are starting too, and none is added',
  async (t) => {
    const { fleet, link, childOf, lost } = startFleet()
    const ready = link.add('verifier')
    childOf('verifier-1').starts(4100)
    await ready
    const starting = link.add('shop')
    fleet.end()
    await t.rejects(starting, { code: 'internal_error' })
    await fleet.ended()
    t.same(childOf('verifier-1').done, ['stop'])
    t.match(childOf('shop-1').done, ['stop'])
    await t.rejects(link.add('verifier'), { code: 'shutting_down' })
    t.same(lost, [])
  },
)

t.test('an issuer that comes late is told what there is', async (t) => {
  const told: FleetMessage[] = []
  const child = new FakeChild()
  const fleet = new Fleet({
    kinds: ['verifier'],
    start: () => child as unknown as Child,
    tell: (message) => told.push(message),
    onLost: () => {},
  })
  child.starts(4100)
  await fleet.add('verifier')
  told.length = 0
  const send = (message: FleetRequest) => fleet.receive(message)
  new FleetLink(Object.assign(new EventEmitter(), { send }) as unknown as NodeJS.Process)
  const replicas = [{ name: 'verifier-1', kind: 'verifier', port: 4100 }]
  t.same(told, [{ type: 'fleet.list', kinds: ['verifier'], replicas }])
})

t.test('without a parent there are no replicas', async (t) => {
  const link = new FleetLink(new EventEmitter() as unknown as NodeJS.Process)
  link.open()
  t.same(link.list(), [])
  t.same(link.kinds(), [])
  await t.rejects(link.stop('verifier-1'), { code: 'replica_not_found' })
})

t.test('what is no message of it does nothing', async (t) => {
  const { fleet, children } = startFleet()
  for (const message of [null, undefined, 'stop', 7, {}, { type: 'ready', port: 1 }]) {
    await fleet.receive(message)
  }
  t.equal(children.size, 0)
})
