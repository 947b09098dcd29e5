interface SystemError extends Error {
  readonly code?: string
  /** The error of each address of one host. The whole has no message of its own. */
  readonly errors?: readonly Error[]
}

function textOf({ message, code, errors = [] }: SystemError): string {
  const text = message || errors.map(reasonOf).join(', ') || code || 'no reason is known'
  return text.trim()
}

/** Returns the message of an error without a full stop. */
export function reasonOf(error: Error): string {
  return textOf(error).replace(/\.$/, '')
}

/**
 * Returns the messages of an error and its causes: the reason of `fetch failed` is its cause.
 *
 * @param maxCauses ends a cycle of causes
 */
export function messagesOf(error: Error, maxCauses = 10): string {
  const { cause } = error
  if (!(cause instanceof Error) || maxCauses === 0) return textOf(error)
  return `${reasonOf(error)}: ${messagesOf(cause, maxCauses - 1)}`
}
