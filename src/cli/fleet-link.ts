import { type ErrorCode, GatepassError } from '../core/errors.ts'
import type { Replica, ReplicaKind, Replicas } from '../playground/replicas.ts'
import { type FleetMessage, type FleetRequest, isFleetMessage } from './fleet-messages.ts'

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
