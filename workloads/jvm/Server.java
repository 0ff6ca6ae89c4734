import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.security.SecureRandom;
import java.util.HexFormat;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.zip.CRC32;

/**
 * An HTTP server that keeps values, in a virtual machine that was slow to start.
 *
 * <p>Before it serves, it sorts a large index, over which the compiler gets warm; of that index
 * every answer about the server tells the digest anew. Sixteen threads serve, and four more tick by
 * timers of their own. What the server knows and how it answers stands in {@code http-client}.
 */
public final class Server {
    private static final int SERVING = 16;
    private static final int TICKING = 4;
    private static final int INDEX = 200_000;

    private final Map<String, ByteArrayOutputStream> values = new ConcurrentHashMap<>();
    private final TreeMap<Long, Integer> index = new TreeMap<>();
    private final AtomicLong[] ticks = new AtomicLong[TICKING];
    private final String drawn = HexFormat.of().formatHex(SecureRandom.getSeed(16));

    public static void main(String[] arguments) throws IOException {
        new Server().serve(8080);
    }

    private Server() {
        long state = 1;
        for (int number = 0; number < INDEX; number++) {
            state = state * 6364136223846793005L + 1442695040888963407L;
            index.put(state, number);
        }
        // One pass more than the compiler needs to know which methods are worth its while.
        for (int pass = 0; pass < 10; pass++) {
            digest();
        }
    }

    private String digest() {
        CRC32 digest = new CRC32();
        byte[] bytes = new byte[12];
        index.forEach((key, number) -> {
            for (int at = 0; at < 8; at++) {
                bytes[at] = (byte) (key >> (8 * at));
            }
            for (int at = 0; at < 4; at++) {
                bytes[8 + at] = (byte) (number >> (8 * at));
            }
            digest.update(bytes);
        });
        return Long.toHexString(digest.getValue());
    }

    private void serve(int port) throws IOException {
        var timers = Executors.newScheduledThreadPool(TICKING);
        for (int number = 0; number < TICKING; number++) {
            AtomicLong count = ticks[number] = new AtomicLong();
            timers.scheduleAtFixedRate(count::incrementAndGet, 0, 20 + number, TimeUnit.MILLISECONDS);
        }
        HttpServer server = HttpServer.create(new InetSocketAddress(port), 0);
        server.setExecutor(Executors.newFixedThreadPool(SERVING));
        server.createContext("/", this::handle);
        server.start();
    }

    private void handle(HttpExchange exchange) throws IOException {
        String name = exchange.getRequestURI().getPath();
        byte[] body = exchange.getRequestBody().readAllBytes();
        byte[] answer = switch (exchange.getRequestMethod()) {
            case "POST" -> append(name, body);
            case "DELETE" -> bytes(values.remove(name));
            default -> name.equals("/") ? facts() : bytes(values.get(name));
        };
        boolean isThere = answer != null || exchange.getRequestMethod().equals("DELETE");
        byte[] sent = answer == null ? new byte[0] : answer;
        // Not 0 for an empty body: that would mean one of unknown length. With -1 there is none,
        // and `Content-Length: 0` is written where the status is not of those without a body.
        exchange.sendResponseHeaders(isThere ? 200 : 404, sent.length == 0 ? -1 : sent.length);
        exchange.getResponseBody().write(sent);
        exchange.close();
    }

    private byte[] append(String name, byte[] body) {
        var value = values.computeIfAbsent(name, ignored -> new ByteArrayOutputStream());
        synchronized (value) {
            value.writeBytes(body);
            return Integer.toString(value.size()).getBytes();
        }
    }

    private static byte[] bytes(ByteArrayOutputStream value) {
        return value == null ? null : value.toByteArray();
    }

    private byte[] facts() {
        var facts = new StringBuilder();
        facts.append("same.pid=").append(ProcessHandle.current().pid()).append('\n');
        facts.append("same.drawn=").append(drawn).append('\n');
        facts.append("same.index=").append(digest()).append('\n');
        for (int number = 0; number < TICKING; number++) {
            facts.append("grows.ticks-").append(number).append('=').append(ticks[number]).append('\n');
        }
        facts.append("grows.clock=").append(System.nanoTime()).append('\n');
        return facts.toString().getBytes();
    }
}
