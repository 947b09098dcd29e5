import { EventEmitter } from 'node:events'
import { mock } from 'node:test'
import t from 'tap'
import type { ServiceProcess } from '../../src/cli/dev/processes.ts'
import {
  RemoteReplicas,
  type ReplicaMessage,
  ReplicaProcesses,
  type ReplicaRequest,
} from '../../src/cli/dev/replica-processes.ts'
import { GatepassError } from '../../src/core/errors.ts'
import type { ReplicaKind } from '../../src/playground/api.ts'

/** A process that starts and ends when the test says so. */
class FakeProcess {
  readonly #ready = Promise.withResolvers<number>()
  readonly #exited = Promise.withResolvers<number>()
  readonly ready = this.#ready.promise
  readonly exited = this.#exited.promise
  /** The calls in their order. */
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

/** The replicas, and the view of them that an issuer has. */
function startReplicas(kinds: readonly ReplicaKind[] = ['verifier', 'shop']) {
  const children = new Map<string, FakeProcess>()
  const lost: string[] = []
  const child = new EventEmitter()
  const replicas = new ReplicaProcesses({
    kinds,
    start: (_kind, name) => {
      const started = new FakeProcess()
      children.set(name, started)
      return started as unknown as ServiceProcess
    },
    send: (message: ReplicaMessage) => child.emit('message', message),
    onStartTimeout: (name) => lost.push(`${name} was not ready`),
    onUnexpectedExit: (name, code) => lost.push(`${name} ${code}`),
  })
  t.teardown(() => replicas.shutDown())
  const send = (message: ReplicaRequest) => {
    replicas.receive(message)
    return true
  }
  const remote = new RemoteReplicas(Object.assign(child, { send }) as unknown as NodeJS.Process)
  const childOf = (name: string) => children.get(name) ?? t.fail(`no ${name}`)
  return { replicas, remote, lost, children, childOf: childOf as (name: string) => FakeProcess }
}

t.test('an added replica is listed at once and has a port when it is ready', async (t) => {
  const { remote, childOf } = startReplicas()
  const added = remote.add('verifier')
  t.same(remote.list(), [{ name: 'verifier-1', kind: 'verifier', port: null }])
  childOf('verifier-1').starts(4100)
  t.equal(await added, 'verifier-1')
  t.same(remote.list(), [{ name: 'verifier-1', kind: 'verifier', port: 4100 }])
})

t.test('a stopped replica is killed and causes no message', async (t) => {
  const { remote, childOf, lost } = startReplicas()
  const added = remote.add('verifier')
  childOf('verifier-1').starts(4100)
  await added
  await remote.stop('verifier-1')
  t.same(childOf('verifier-1').done, ['kill'])
  t.same(remote.list(), [])
  t.same(lost, [])
  await t.rejects(remote.stop('verifier-1'), { code: 'replica_not_found' })
  const next = remote.add('verifier')
  childOf('verifier-2').starts(4101)
  t.equal(await next, 'verifier-2', 'no name comes twice')
})

t.test('a replica that exits by itself causes a message', async (t) => {
  const { remote, childOf, lost } = startReplicas()
  const added = remote.add('shop')
  childOf('shop-1').starts(4300)
  await added
  childOf('shop-1').ends(3)
  await childOf('shop-1').exited
  t.same(remote.list(), [])
  t.same(lost, ['shop-1 3'])
})

t.test('a replica that does not start is an error and is removed', async (t) => {
  const { remote, childOf } = startReplicas()
  const added = remote.add('shop')
  childOf('shop-1').ends(1)
  await t.rejects(added, { code: 'internal_error' })
  t.same(remote.list(), [])
})

t.test('a replica that is not ready in time is killed', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const { remote, lost, childOf } = startReplicas()
  const added = remote.add('shop')
  mock.timers.tick(59_999)
  t.same(childOf('shop-1').done, [])
  mock.timers.tick(1)
  await t.rejects(added, { code: 'internal_error' })
  t.match(childOf('shop-1').done, ['kill'])
  t.equal(lost[0], 'shop-1 was not ready')
})

t.test('the limit is eight replicas', async (t) => {
  const { remote, children } = startReplicas()
  const names = Array.from({ length: 8 }, () => remote.add('verifier'))
  for (const child of children.values()) child.starts(4100)
  await Promise.all(names)
  await t.rejects(remote.add('shop'), { code: 'replicas_exceeded' })
  await remote.stop('verifier-3')
  const again = remote.add('shop')
  children.get('shop-1')?.starts(4300)
  t.equal(await again, 'shop-1')
})

t.test('the shop starts when the page is first opened, and only once', async (t) => {
  const { remote, children } = startReplicas()
  remote.pageOpened()
  remote.pageOpened()
  t.same([...children.keys()], ['shop-1', 'shop-2'])
  const other = startReplicas(['verifier'])
  other.remote.pageOpened()
  t.equal(other.children.size, 0, 'where there is no shop, nothing starts')
})

t.test(
  'at the end all are asked to stop, those that are starting too, and none is added',
  async (t) => {
    const { replicas, remote, childOf, lost } = startReplicas()
    const ready = remote.add('verifier')
    childOf('verifier-1').starts(4100)
    await ready
    const starting = remote.add('shop')
    replicas.shutDown()
    await t.rejects(starting, { code: 'internal_error' })
    await replicas.exited()
    t.same(childOf('verifier-1').done, ['stop'])
    t.match(childOf('shop-1').done, ['stop'])
    await t.rejects(remote.add('verifier'), { code: 'shutting_down' })
    t.same(lost, [])
  },
)

t.test('an issuer that subscribes late receives the list', async (t) => {
  const told: ReplicaMessage[] = []
  const child = new FakeProcess()
  const replicas = new ReplicaProcesses({
    kinds: ['verifier'],
    start: () => child as unknown as ServiceProcess,
    send: (message) => told.push(message),
    onStartTimeout: () => {},
    onUnexpectedExit: () => {},
  })
  child.starts(4100)
  await replicas.add('verifier')
  told.length = 0
  const send = (message: ReplicaRequest) => replicas.receive(message)
  new RemoteReplicas(Object.assign(new EventEmitter(), { send }) as unknown as NodeJS.Process)
  const list = [{ name: 'verifier-1', kind: 'verifier', port: 4100 }]
  t.same(told, [{ type: 'replicas.list', kinds: ['verifier'], replicas: list }])
})

t.test('without a parent there are no replicas', async (t) => {
  const remote = new RemoteReplicas(new EventEmitter() as unknown as NodeJS.Process)
  remote.pageOpened()
  t.same(remote.list(), [])
  t.same(remote.kinds(), [])
  await t.rejects(remote.stop('verifier-1'), { code: 'replica_not_found' })
})

t.test('other messages are ignored', async (t) => {
  const { replicas, children } = startReplicas()
  for (const message of [null, undefined, 'stop', 7, {}, { type: 'ready', port: 1 }]) {
    await replicas.receive(message)
  }
  t.equal(children.size, 0)
})
