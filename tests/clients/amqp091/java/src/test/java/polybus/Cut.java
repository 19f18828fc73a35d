package polybus;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/** A TCP forwarder whose connections can be cut, so that a client sees its broker go away and come back. */
final class Cut implements AutoCloseable {
  private final ServerSocket server = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
  private final List<Socket> sockets = new CopyOnWriteArrayList<>();

  Cut(String host, int port) throws IOException {
    start(() -> {
      while (true) {
        Socket in = server.accept();
        Socket out = new Socket(host, port);
        sockets.add(in);
        sockets.add(out);
        start(() -> in.getInputStream().transferTo(out.getOutputStream()));
        start(() -> out.getInputStream().transferTo(in.getOutputStream()));
      }
    });
  }

  private interface Work {
    void run() throws IOException;
  }

  private static void start(Work work) {
    Thread thread = new Thread(() -> {
      try {
        work.run();
      } catch (IOException ignored) {
        // Cut, as intended.
      }
    });
    thread.setDaemon(true);
    thread.start();
  }

  int port() {
    return server.getLocalPort();
  }

  /** Closes every connection; new ones are taken. */
  void cut() throws IOException {
    for (Socket socket : sockets) socket.close();
    sockets.clear();
  }

  @Override
  public void close() throws IOException {
    server.close();
    cut();
  }
}
