import java.io.*;
import java.nio.charset.StandardCharsets;
import java.util.*;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs the tools' main methods one after another in one JVM, since most of what a tool takes is its start. A line on standard input is
 * a call: the class, its standard input and its arguments, each in base64. A line is answered: the exit code, what it wrote to
 * standard output and to standard error.
 */
class Worker {
  private static final class Ended extends Error {}

  public static void main(String[] none) throws Exception {
    BufferedReader calls = new BufferedReader(new InputStreamReader(System.in));
    PrintStream answers = System.out;
    int[] code = new int[1];
    boolean[] ended = new boolean[1];
    Exit.Procedure procedure = (status, message) -> {
      // A tool that catches what its own exit throws exits again; the first is meant.
      if (!ended[0]) code[0] = status;
      ended[0] = true;
      throw new Ended();
    };
    Exit.setExitProcedure(procedure);
    Exit.setHaltProcedure(procedure);
    // Some close their clients only as their JVM ends.
    List<Runnable> hooks = new ArrayList<>();
    Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
    for (String call; (call = calls.readLine()) != null; ) {
      List<String> words = Arrays.stream(call.split(" ", -1)).map(word -> new String(Base64.getDecoder().decode(word), StandardCharsets.UTF_8)).toList();
      ByteArrayOutputStream out = new ByteArrayOutputStream(), err = new ByteArrayOutputStream();
      System.setIn(new ByteArrayInputStream(words.get(1).getBytes(StandardCharsets.UTF_8)));
      System.setOut(new PrintStream(out, true));
      System.setErr(new PrintStream(err, true));
      code[0] = 0;
      ended[0] = false;
      try {
        Class.forName(words.get(0)).getMethod("main", String[].class).invoke(null, (Object) words.subList(2, words.size()).toArray(new String[0]));
      } catch (java.lang.reflect.InvocationTargetException error) {
        if (!ended[0]) {
          code[0] = 1;
          error.getCause().printStackTrace();
        }
      }
      hooks.forEach(Runnable::run);
      hooks.clear();
      System.out.flush();
      System.err.flush();
      answers.println(code[0] + " " + Base64.getEncoder().encodeToString(out.toByteArray()) + " " + Base64.getEncoder().encodeToString(err.toByteArray()));
    }
  }
}
