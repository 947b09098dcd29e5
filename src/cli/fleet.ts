import { GatepassError, isGatepassError } from '../core/errors.ts'
import { type Replica, type ReplicaKind, replicasMax } from '../playground/replicas.ts'
import type { Child } from './child.ts'
import { type FleetMessage, type FleetRequest, isFleetMessage } from './fleet-messages.ts'

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
