/** One thing that was done to the fields of an owner, and what came of it. */
export interface Done {
  readonly kind: 'write' | 'remove' | 'read' | 'end' | 'erase' | 'drop'
  /** '' where it is about all. */
  readonly field: string
  /** What a write wrote. */
  readonly version: string
  /** Undefined is anything. */
  readonly expected: string | null | undefined
  /** An outcome; of a read, the version that was there, or ''. */
  readonly outcome: string
  readonly begunAt: number
  readonly doneAt: number
}

interface State {
  readonly isEnded: boolean
  readonly fields: ReadonlyMap<string, string>
}

const empty: State = { isEnded: false, fields: new Map() }

/**
 * Whether everything could have been done at one instant each, between its begin and its end, so that
 * each outcome is right.
 */
export function isLinearizable(history: readonly Done[], fieldsMax: number): boolean {
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
      const next = after(state, one, fieldsMax)
      return (
        next !== null &&
        search(
          next,
          left.filter((other) => other !== one),
        )
      )
    })
  }
  return search(empty, history)
}

/** null when the outcome is wrong in this state. */
function after(state: State, done: Done, fieldsMax: number): State | null {
  const { kind, field, outcome } = done
  const current = state.fields.get(field)
  if (kind === 'read') return outcome === (current ?? '') ? state : null
  if (kind === 'end') return { isEnded: true, fields: new Map() }
  if (kind === 'erase' || (kind === 'drop' && field === '')) return empty
  if (kind === 'drop') return { ...state, fields: without(state, field) }
  if (outcome !== right(state, done, fieldsMax)) return null
  if (outcome === 'written') {
    return { ...state, fields: new Map([...state.fields, [field, done.version]]) }
  }
  return outcome === 'removed' ? { ...state, fields: without(state, field) } : state
}

function right({ isEnded, fields }: State, done: Done, fieldsMax: number): string {
  if (isEnded) return 'ended'
  const current = fields.get(done.field)
  if (done.expected !== undefined && done.expected !== (current ?? null)) return 'conflict'
  if (done.kind === 'remove') return current === undefined ? 'absent' : 'removed'
  return current === undefined && fields.size >= fieldsMax ? 'full' : 'written'
}

function without({ fields }: State, field: string): Map<string, string> {
  return new Map([...fields].filter(([name]) => name !== field))
}
