import { asGatepassError, type ErrorCode, GatepassError } from '../../core/errors.ts'
import { maxReplicas, type Replica, type ReplicaKind, type Replicas } from '../../playground/api.ts'
import type { ServiceProcess } from './processes.ts'

/** A request of the issuer process of `gatepass dev` to its parent, which owns all processes. */
export type ReplicaRequest =
  | { readonly type: 'replicas.subscribe' }
  | { readonly type: 'replicas.page_opened' }
  | { readonly type: 'replicas.add'; readonly id: number; readonly kind: ReplicaKind }
  | { readonly type: 'replicas.stop'; readonly id: number; readonly name: string }

/** A message of the parent: the list after each change, and the result of a request. */
export type ReplicaMessage =
  | {
      readonly type: 'replicas.list'
      readonly replicas: readonly Replica[]
      readonly kinds: readonly ReplicaKind[]
    }
  | {
      readonly type: 'replicas.result'
      readonly id: number
      readonly name: string
      readonly error: ErrorCode | null
    }

/** Whether a message belongs to this protocol. The same channel carries other messages. */
function isOfReplicas<T extends ReplicaRequest | ReplicaMessage>(message: unknown): message is T {
  const { type } = (message ?? {}) as { type?: unknown }
  return typeof type === 'string' && type.startsWith('replicas.')
}

interface Member {
  readonly kind: ReplicaKind
  readonly process: ServiceProcess
  port: number | null
  isStopped: boolean
}

export interface ReplicaProcessesOptions {
  readonly kinds: readonly ReplicaKind[]
  /** Starts a replica. @param portOffset offset from the base port; null takes free ports */
  start(kind: ReplicaKind, name: string, portOffset: number | null): ServiceProcess
  /** Sends a message to the issuer process. */
  send(message: ReplicaMessage): void
  /** Called before a replica that does not become ready is killed. */
  onStartTimeout(name: string): void
  /** Called when a replica exits without being stopped. */
  onUnexpectedExit(name: string, code: number): void
}

/** A replica that is not ready after this time is killed. */
const startTimeoutMs = 60_000

/** Replicas of the shop that start when the page is first opened. */
const initialShops = 2

/** The replicas of `gatepass dev`, in the process that starts and stops them. */
export class ReplicaProcesses {
  readonly #options: ReplicaProcessesOptions
  readonly #members = new Map<string, Member>()
  readonly #lastNumber: Record<ReplicaKind, number> = { verifier: 0, shop: 0 }
  #isShuttingDown = false

  constructor(options: ReplicaProcessesOptions) {
    this.#options = options
  }

  /** @throws `replicas_exceeded`, `shutting_down`, `internal_error` when the replica does not start */
  async add(kind: ReplicaKind, portOffset: number | null = null): Promise<string> {
    if (this.#isShuttingDown) throw new GatepassError('shutting_down')
    if (this.#members.size >= maxReplicas) throw new GatepassError('replicas_exceeded')
    this.#lastNumber[kind]++
    const name = `${kind}-${this.#lastNumber[kind]}`
    const process = this.#options.start(kind, name, portOffset)
    const member: Member = { kind, process, port: null, isStopped: false }
    this.#members.set(name, member)
    this.#sendList()
    process.exited.then((code) => this.#remove(name, member, code))
    const giveUp = () => {
      this.#options.onStartTimeout(name)
      process.kill()
    }
    const timeout = setTimeout(giveUp, startTimeoutMs)
    try {
      member.port = await process.ready
    } catch (error) {
      process.kill()
      throw error
    } finally {
      clearTimeout(timeout)
    }
    this.#sendList()
    return name
  }

  /** @throws `replica_not_found` */
  async stop(name: string): Promise<void> {
    const member = this.#members.get(name)
    if (member === undefined || member.isStopped) throw new GatepassError('replica_not_found')
    member.isStopped = true
    member.process.kill()
    await member.process.exited
  }

  /** Handles a message of the issuer process. Ignores messages of other protocols. */
  async receive(message: unknown): Promise<void> {
    if (!isOfReplicas<ReplicaRequest>(message)) return
    if (message.type === 'replicas.subscribe') return this.#sendList()
    if (message.type === 'replicas.page_opened') return this.#startShops()
    const { id } = message
    const { send } = this.#options
    try {
      const isAdd = message.type === 'replicas.add'
      const name = isAdd ? await this.add(message.kind) : message.name
      if (!isAdd) await this.stop(name)
      send({ type: 'replicas.result', id, name, error: null })
    } catch (error) {
      send({ type: 'replicas.result', id, name: '', error: asGatepassError(error).code })
    }
  }

  /** Asks all replicas to shut down. No replica starts afterwards. */
  shutDown(): void {
    this.#isShuttingDown = true
    for (const { process } of this.#members.values()) process.stop()
  }

  kill(): void {
    for (const { process } of this.#members.values()) process.kill()
  }

  /** Resolves when all replicas have exited. */
  async exited(): Promise<void> {
    await Promise.all([...this.#members.values()].map(({ process }) => process.exited))
  }

  #startShops(): void {
    if (!this.#options.kinds.includes('shop')) return
    // A shop that fails to start prints the reason, and the page shows that the shop is missing.
    for (let count = 0; count < initialShops; count++) this.add('shop').catch(() => {})
  }

  #remove(name: string, member: Member, code: number): void {
    this.#members.delete(name)
    this.#sendList()
    if (!member.isStopped && !this.#isShuttingDown) this.#options.onUnexpectedExit(name, code)
  }

  #sendList(): void {
    const { kinds, send } = this.#options
    const replicas = [...this.#members].map(
      ([name, { kind, port, isStopped }]): Replica => ({
        name,
        kind,
        port: isStopped ? null : port,
      }),
    )
    send({ type: 'replicas.list', replicas, kinds })
  }
}

interface PendingRequest {
  resolve(name: string): void
  reject(error: Error): void
}

type Unnumbered<T> = T extends { readonly id: number } ? Omit<T, 'id'> : never

/** The same replicas, in the issuer process: requests and the list go over the channel to the parent. */
export class RemoteReplicas implements Replicas {
  readonly #send: ((message: ReplicaRequest) => void) | null
  readonly #pending = new Map<number, PendingRequest>()
  #replicas: readonly Replica[] = []
  #kinds: readonly ReplicaKind[] = []
  #lastId = 0
  #isPageOpened = false

  /** @param parent this process; without a channel to a parent there are no replicas */
  constructor(parent: Pick<NodeJS.Process, 'send' | 'on'>) {
    const send = parent.send?.bind(parent)
    // This process shuts down when its parent exits, so an undelivered message is not an error.
    const ignore = () => {}
    this.#send =
      send === undefined ? null : (message) => void send(message, undefined, undefined, ignore)
    parent.on('message', (message: unknown) => {
      if (isOfReplicas<ReplicaMessage>(message)) this.#receive(message)
    })
    this.#send?.({ type: 'replicas.subscribe' })
  }

  list(): readonly Replica[] {
    return this.#replicas
  }

  kinds(): readonly ReplicaKind[] {
    return this.#kinds
  }

  pageOpened(): void {
    if (!this.#isPageOpened) this.#send?.({ type: 'replicas.page_opened' })
    this.#isPageOpened = true
  }

  add(kind: ReplicaKind): Promise<string> {
    return this.#request({ type: 'replicas.add', kind })
  }

  async stop(name: string): Promise<void> {
    await this.#request({ type: 'replicas.stop', name })
  }

  #request(request: Unnumbered<ReplicaRequest>): Promise<string> {
    const send = this.#send
    this.#lastId++
    const id = this.#lastId
    return new Promise((resolve, reject) => {
      if (send === null) throw new GatepassError('replica_not_found')
      this.#pending.set(id, { resolve, reject })
      send({ ...request, id })
    })
  }

  #receive(message: ReplicaMessage): void {
    if (message.type === 'replicas.list') {
      this.#replicas = message.replicas
      this.#kinds = message.kinds
      return
    }
    const pending = this.#pending.get(message.id)
    this.#pending.delete(message.id)
    const { name, error } = message
    if (error === null) pending?.resolve(name)
    else pending?.reject(new GatepassError(error))
  }
}
