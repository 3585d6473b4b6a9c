// Waits for something that another process does in its own time. The deadline
// only turns a hang into a failure; no test passes or fails by speed.
export async function eventually(what, probe, seconds = 30) {
  const deadline = Date.now() + seconds * 1000;
  let last;
  while (Date.now() < deadline) {
    try {
      const found = await probe();
      if (found) return found;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`never happened: ${what}`, { cause: last });
}
