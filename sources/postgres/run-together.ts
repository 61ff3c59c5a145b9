/**
 * Runs parts that depend on each other, such as the two ends of a pipe: the first that fails ends the others, through
 * `stop`, and is what is thrown.
 */
export async function runTogether(parts: readonly Promise<void>[], stop: () => void): Promise<void> {
  const failures: unknown[] = [];
  const settle = async (part: Promise<void>): Promise<void> => {
    try {
      await part;
    } catch (error) {
      failures.push(error);
      if (failures.length === 1) stop();
    }
  };
  await Promise.all(parts.map(settle));
  if (failures.length > 0) throw failures[0];
}
