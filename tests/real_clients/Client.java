// Java's HttpClient and Apache HttpClient 5: `Client MODE CA`, MODE is h1, h2 or apache. Cases on standard input, statuses
// on standard output.
import java.io.*;
import java.net.URI;
import java.net.http.*;
import java.nio.file.*;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import javax.net.ssl.*;
import org.apache.hc.client5.http.classic.methods.HttpUriRequestBase;
import org.apache.hc.client5.http.impl.classic.*;
import org.apache.hc.core5.http.ContentType;
import org.apache.hc.core5.http.io.entity.*;

public class Client {
    interface Sender {
        int send(String method, String url, String key, String framing, byte[] content, String encoding) throws Exception;
    }

    static InputStream stream(String framing, byte[] content) {
        var whole = new ByteArrayInputStream(content);
        if (!framing.equals("slow")) return whole;
        return new FilterInputStream(whole) {
            boolean hasPaused = false;

            @Override
            public int read(byte[] into, int at, int length) throws IOException {
                if (!hasPaused && available() < content.length / 2) {
                    hasPaused = true;
                    pause();
                }
                return super.read(into, at, length);
            }
        };
    }

    static void pause() {
        try {
            Thread.sleep(6000);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    static Sender standard(String mode, String ca) throws Exception {
        var store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null);
        try (var pem = new FileInputStream(ca)) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(pem));
        }
        var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        var tls = SSLContext.getInstance("TLS");
        tls.init(null, trust.getTrustManagers(), null);
        var version = mode.equals("h2") ? HttpClient.Version.HTTP_2 : HttpClient.Version.HTTP_1_1;
        var client = HttpClient.newBuilder().sslContext(tls).version(version).build();
        return (method, url, key, framing, content, encoding) -> {
            var body = framing.equals("length")
                ? HttpRequest.BodyPublishers.ofByteArray(content)
                : HttpRequest.BodyPublishers.ofInputStream(() -> stream(framing, content));
            var request = HttpRequest.newBuilder(URI.create(url)).method(method, body).header("x-key", key);
            request.timeout(Duration.ofSeconds(60));
            if (!encoding.isEmpty()) request.header("content-encoding", encoding);
            var answer = client.send(request.build(), HttpResponse.BodyHandlers.ofString());
            if (answer.version() != version) throw new IOException("spoken: " + answer.version());
            return answer.statusCode();
        };
    }

    static Sender apache() {
        var client = HttpClients.custom().disableAutomaticRetries().build();
        return (method, url, key, framing, content, encoding) -> {
            var request = new HttpUriRequestBase(method, URI.create(url));
            request.setHeader("x-key", key);
            var type = ContentType.APPLICATION_JSON;
            var name = encoding.isEmpty() ? null : encoding;
            request.setEntity(framing.equals("length")
                ? new ByteArrayEntity(content, type, name)
                : new InputStreamEntity(stream(framing, content), -1, type, name));
            try (var answer = client.execute(request)) {
                EntityUtils.consume(answer.getEntity());
                return answer.getCode();
            }
        };
    }

    public static void main(String[] arguments) throws Exception {
        var sender = arguments[0].equals("apache") ? apache() : standard(arguments[0], arguments[1]);
        var lines = new BufferedReader(new InputStreamReader(System.in)).lines().toList();
        for (var line : lines) {
            var f = line.split("\t", -1);
            String result;
            try {
                result = "" + sender.send(f[1], f[2], f[3], f[4], Files.readAllBytes(Path.of(f[5])), f[6]);
            } catch (Exception error) {
                result = error.toString();
            }
            System.out.println(f[0] + "\t" + result);
        }
        System.exit(0);
    }
}
