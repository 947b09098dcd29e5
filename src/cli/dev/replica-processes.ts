import { type ErrorCode, GatepassError, isGatepassError } from '../../core/errors.ts'
import { type Replica, type ReplicaKind, type Replicas, replicasMax } from '../../playground/api.ts'
import type { Child } from './service-process.ts'

/** What the issuer of `gatepass dev` asks of its parent, which owns all processes. */
export type FleetRequest =
  | { readonly type: 'fleet.hello' }
  | { readonly type: 'fleet.open' }
  | { readonly type: 'fleet.add'; readonly id: number; readonly kind: ReplicaKind }
  | { readonly type: 'fleet.stop'; readonly id: number; readonly name: string }

/** What the parent answers, and tells by itself. */
export type FleetMessage =
  | {
      readonly type: 'fleet.list'
      readonly replicas: readonly Replica[]
      readonly kinds: readonly ReplicaKind[]
    }
  | {
      readonly type: 'fleet.done'
      readonly id: number
      readonly name: string
      readonly error: ErrorCode | null
    }

/** Whether it is one of these; a process hears of other things too. */
export function isFleetMessage<T extends FleetRequest | FleetMessage>(
  message: unknown,
): message is T {
  const { type } = (message ?? {}) as { type?: unknown }
  return typeof type === 'string' && type.startsWith('fleet.')
}

interface Member {
  readonly kind: ReplicaKind
  readonly child: Child
  port: number | null
  /** Whether somebody has asked for its end. */
  isStopped: boolean
}

export interface FleetOptions {
  /** Starts a replica of a kind: on these ports above the base port, or on free ones. */
  start(kind: ReplicaKind, name: string, above: number | null): Child
  readonly kinds: readonly ReplicaKind[]
  /** Told of each change. */
  tell(message: FleetMessage): void
  /** One that nobody has stopped has ended. */
  onLost(name: string, code: number): void
}

/** One that is not ready by then will not be. */
const startMsMax = 60_000

/** The shop is started when the page is first looked at: so many replicas of it. */
const shopsAtOpen = 2

/** The replicas of `gatepass dev`: who is there, who comes and who goes. */
export class Fleet {
  readonly #options: FleetOptions
  readonly #members = new Map<string, Member>()
  readonly #lastNumber: Record<ReplicaKind, number> = { verifier: 0, shop: 0 }
  #isOpen = false
  #isEnding = false

  constructor(options: FleetOptions) {
    this.#options = options
  }

  /** @throws `replicas_exceeded`, `shutting_down`, `internal_error` when it does not start */
  async add(kind: ReplicaKind, above: number | null = null): Promise<string> {
    if (this.#isEnding) throw new GatepassError('shutting_down')
    if (this.#members.size >= replicasMax) throw new GatepassError('replicas_exceeded')
    this.#lastNumber[kind]++
    const name = `${kind}-${this.#lastNumber[kind]}`
    const child = this.#options.start(kind, name, above)
    const member: Member = { kind, child, port: null, isStopped: false }
    this.#members.set(name, member)
    this.#tellAll()
    child.exited.then((code) => this.#ended(name, member, code))
    const tooLate = setTimeout(() => child.kill(), startMsMax)
    try {
      member.port = await child.ready
    } catch (error) {
      child.kill()
      throw error
    } finally {
      clearTimeout(tooLate)
    }
    this.#tellAll()
    return name
  }

  /** @throws `replica_not_found` */
  async stop(name: string): Promise<void> {
    const member = this.#members.get(name)
    if (member === undefined || member.isStopped) throw new GatepassError('replica_not_found')
    member.isStopped = true
    member.child.kill()
    await member.child.exited
  }

  /** Takes what the issuer asks for. */
  async receive(message: unknown): Promise<void> {
    if (!isFleetMessage<FleetRequest>(message)) return
    if (message.type === 'fleet.hello') return this.#tellAll()
    if (message.type === 'fleet.open') return this.#open()
    const { id } = message
    const { tell } = this.#options
    try {
      const isAdd = message.type === 'fleet.add'
      const name = isAdd ? await this.add(message.kind) : message.name
      if (!isAdd) await this.stop(name)
      tell({ type: 'fleet.done', id, name, error: null })
    } catch (error) {
      const code = isGatepassError(error) ? error.code : 'internal_error'
      tell({ type: 'fleet.done', id, name: '', error: code })
    }
  }

  /** Asks all of them to finish; nothing is started any more. */
  end(): void {
    this.#isEnding = true
    for (const { child } of this.#members.values()) child.stop()
  }

  kill(): void {
    for (const { child } of this.#members.values()) child.kill()
  }

  /** Resolves when all have ended. */
  async ended(): Promise<void> {
    await Promise.all([...this.#members.values()].map(({ child }) => child.exited))
  }

  #open(): void {
    if (this.#isOpen || !this.#options.kinds.includes('shop')) return
    this.#isOpen = true
    // One that does not start has said why; the page shows that it is not there.
    for (let count = 0; count < shopsAtOpen; count++) this.add('shop').catch(() => {})
  }

  #ended(name: string, member: Member, code: number): void {
    this.#members.delete(name)
    this.#tellAll()
    if (!member.isStopped && !this.#isEnding) this.#options.onLost(name, code)
  }

  #tellAll(): void {
    const { kinds, tell } = this.#options
    const replicas = [...this.#members].map(
      ([name, { kind, port, isStopped }]): Replica => ({
        name,
        kind,
        port: isStopped ? null : port,
      }),
    )
    tell({ type: 'fleet.list', replicas, kinds })
  }
}

interface Waiting {
  resolve(name: string): void
  reject(error: Error): void
}

/** A request before it has its number. */
type Asked =
  | { readonly type: 'fleet.add'; readonly kind: ReplicaKind }
  | {
      readonly type: 'fleet.stop'
      readonly name: string
    }

/** The replicas, as a child of `gatepass dev` knows them: its parent has told. */
export class FleetLink implements Replicas {
  readonly #send: ((message: FleetRequest) => void) | null
  readonly #waiting = new Map<number, Waiting>()
  #replicas: readonly Replica[] = []
  #kinds: readonly ReplicaKind[] = []
  #lastId = 0
  #isOpen = false

  /** @param parent this process; without a channel to a parent there are no replicas */
  constructor(parent: Pick<NodeJS.Process, 'send' | 'on'>) {
    const send = parent.send?.bind(parent)
    // A parent that is gone is the end of this process as well: nobody is left to be told of it.
    const ignore = () => {}
    this.#send =
      send === undefined ? null : (message) => void send(message, undefined, undefined, ignore)
    parent.on('message', (message: unknown) => {
      if (isFleetMessage<FleetMessage>(message)) this.#receive(message)
    })
    // What it told before there was anyone to hear.
    this.#send?.({ type: 'fleet.hello' })
  }

  list(): readonly Replica[] {
    return this.#replicas
  }

  kinds(): readonly ReplicaKind[] {
    return this.#kinds
  }

  open(): void {
    if (!this.#isOpen) this.#send?.({ type: 'fleet.open' })
    this.#isOpen = true
  }

  add(kind: ReplicaKind): Promise<string> {
    return this.#ask({ type: 'fleet.add', kind })
  }

  async stop(name: string): Promise<void> {
    await this.#ask({ type: 'fleet.stop', name })
  }

  #ask(asked: Asked): Promise<string> {
    const send = this.#send
    this.#lastId++
    const id = this.#lastId
    return new Promise((resolve, reject) => {
      if (send === null) throw new GatepassError('replica_not_found')
      this.#waiting.set(id, { resolve, reject })
      send({ ...asked, id })
    })
  }

  #receive(message: FleetMessage): void {
    if (message.type === 'fleet.list') {
      this.#replicas = message.replicas
      this.#kinds = message.kinds
      return
    }
    const waiting = this.#waiting.get(message.id)
    this.#waiting.delete(message.id)
    const { name, error } = message
    if (error === null) waiting?.resolve(name)
    else waiting?.reject(new GatepassError(error satisfies ErrorCode))
  }
}
