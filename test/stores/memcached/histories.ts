/** A call for the fields of an owner, and its outcome. */
export interface Done {
  readonly kind: 'write' | 'remove' | 'read' | 'end' | 'erase' | 'drop'
  /** '' for all fields. */
  readonly field: string
  /** The version of a write. */
  readonly version: string
  /** undefined for no precondition. */
  readonly expected: string | null | undefined
  /** The outcome; for a read, the version or ''. */
  readonly outcome: string
  readonly begunAt: number
  readonly doneAt: number
}

interface State {
  readonly isEnded: boolean
  /** When the last end of the owner was done. */
  readonly endedAt: number
  readonly fields: ReadonlyMap<string, string>
}

const empty: State = { isEnded: false, endedAt: 0, fields: new Map() }

/**
 * Whether the history is linearizable: each call could have happened at one instant between its start and
 * its end.
 */
export function isLinearizable(history: readonly Done[], maxFields: number): boolean {
  const seen = new Set<string>()
  const search = (state: State, left: readonly Done[]): boolean => {
    if (left.length === 0) return true
    const key = JSON.stringify([
      state.isEnded,
      [...state.fields].sort(),
      left.map((one) => one.begunAt),
    ])
    if (seen.has(key)) return false
    seen.add(key)
    const firstEnd = Math.min(...left.map(({ doneAt }) => doneAt))
    return left.some((one) => {
      if (one.begunAt > firstEnd) return false
      const others = left.filter((other) => other !== one)
      return statesAfter(state, one, maxFields).some((next) => search(next, others))
    })
  }
  return search(empty, history)
}

/** Returns the possible states after a call; none if its outcome is wrong in this state. */
function statesAfter(state: State, done: Done, maxFields: number): State[] {
  const { kind, field, outcome } = done
  const current = state.fields.get(field)
  if (kind === 'read') return outcome === (current ?? '') ? [state] : []
  if (kind === 'end' || kind === 'erase') {
    const endedAt = Math.max(state.endedAt, done.doneAt)
    return [{ isEnded: kind === 'end', endedAt, fields: new Map() }]
  }
  if (kind === 'drop')
    return [field === '' ? { ...empty, endedAt: state.endedAt } : without(state, field)]
  const states = isOfTheEnd(state, done) ? [state] : []
  if (outcome !== right(state, done, maxFields)) return states
  if (outcome === 'written') {
    states.push(withFields(state, new Map([...state.fields, [field, done.version]])))
  } else {
    states.push(outcome === 'removed' ? without(state, field) : state)
  }
  return states
}

/**
 * Whether a call is a first write during an end of the owner. The write may miss a field that existed
 * until then, and the end removes it.
 */
function isOfTheEnd({ endedAt }: State, { kind, expected, outcome, begunAt }: Done): boolean {
  return kind === 'write' && expected === null && outcome === 'written' && begunAt < endedAt
}

function right({ isEnded, fields }: State, done: Done, maxFields: number): string {
  if (isEnded) return 'ended'
  const current = fields.get(done.field)
  if (done.expected !== undefined && done.expected !== (current ?? null)) return 'conflict'
  if (done.kind === 'remove') return current === undefined ? 'absent' : 'removed'
  return current === undefined && fields.size >= maxFields ? 'full' : 'written'
}

function without(state: State, field: string): State {
  return withFields(state, new Map([...state.fields].filter(([name]) => name !== field)))
}

function withFields(state: State, fields: State['fields']): State {
  return { ...state, fields }
}
