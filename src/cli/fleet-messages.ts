import type { ErrorCode } from '../core/errors.ts'
import type { Replica, ReplicaKind } from '../playground/replicas.ts'

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
